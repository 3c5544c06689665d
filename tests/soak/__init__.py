"""A gateway under a mix of good, distinct, hostile and broken requests for minutes: what grows, what stalls, what dies."""
