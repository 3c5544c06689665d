"""The store port for Neo4j, by Cypher."""
