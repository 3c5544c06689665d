"""Rows of the log for what a transaction wrote. Pure: no I/O, no clock."""

from __future__ import annotations

from typing import NamedTuple

from gateway.stores.base import Key


class Outcome(NamedTuple):
    """A write of one aggregate, without its rows: ``action`` is insert, update or delete. Kept under idempotency keys."""

    noun: str
    key: Key
    version: int
    action: str
