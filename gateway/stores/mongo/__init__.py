"""The store port for MongoDB, by aggregation pipelines."""
