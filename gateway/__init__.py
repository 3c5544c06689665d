"""Crossgraph's mechanism: GraphQL over HTTP on several kinds of database. It knows none of the types it serves."""
