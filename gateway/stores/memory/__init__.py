"""The store port in plain Python, for tests and benchmarks, and as the reference for every other kind."""

from gateway.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
