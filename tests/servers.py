"""The database servers that live tests need, and the variables with their addresses. Imports no driver."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Server:
    """A database server that live tests need: its name, the variable with its address, and its address in docker-compose.yml."""

    name: str
    variable: str
    compose_url: str


POSTGRESQL = Server("PostgreSQL", "TEST_POSTGRES_URL", "postgresql+asyncpg://crossgraph:crossgraph@127.0.0.1:5432/crossgraph")
MONGODB = Server("MongoDB", "TEST_MONGO_URL", "mongodb://127.0.0.1:27017/crossgraph?directConnection=true")
NEO4J = Server("Neo4j", "TEST_NEO4J_URL", "bolt://neo4j:crossgraph@127.0.0.1:7687/neo4j")
SERVERS = (POSTGRESQL, MONGODB, NEO4J)
REPLICA = Server("a streaming replica of PostgreSQL", "TEST_POSTGRES_REPLICA_URL", "")
