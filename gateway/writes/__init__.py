"""Writes: transactions that tell the log what they did, and what carries it on from there. docs/writes.md says what is promised."""
