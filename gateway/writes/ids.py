"""Ids in the order of time: UUIDs of version 7 (RFC 9562, 5.7) as text, the form that a UUID column has."""

from __future__ import annotations

import os
import time
from threading import Lock
from uuid import UUID

_TICKS = 4_096  # of a millisecond: the 12 bits of rand_a (RFC 9562, 6.2, method 3)

_lock = Lock()
_last = 0


def new_id() -> str:
    """Return an id that is greater, also as text, than all that this process has made; those of others are apart by their clocks."""
    global _last
    now = time.time_ns() * _TICKS // 1_000_000
    with _lock:
        _last = now = max(now, _last + 1)  # also where the clock was set back
    bits = now // _TICKS << 80 | 0x7 << 76 | now % _TICKS << 64 | 0b10 << 62 | int.from_bytes(os.urandom(8), "big") >> 2
    return str(UUID(int=bits))
