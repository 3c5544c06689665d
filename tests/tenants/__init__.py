"""Tenants with databases of their own: see ``__main__.py``; how a gateway of theirs is made and asked is in ``asking.py``."""
