"""Reads from a replica, and of one's own writes: see ``__main__.py``; the servers that it takes are in ``pair.py``."""
