"""A fuzzer of bodies and documents: requests changed at random, and checks that hold for every answer."""
