"""Whether the loop goes on: a thread looks, and where it does not the log says what holds it.

Whatever runs on the loop for long, a function of the graph's author that waits without ``await``, holds all requests, probes too: readiness
is not answered meanwhile, which is a no. Cost: a look at the clock four times a second.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from time import monotonic

from gateway.observability.metrics import Reading

STALLED_S = 1.0
LOOKED_EVERY_S = 0.25
FRAMES_MAX = 12  # of the stack, the innermost ones

_log = logging.getLogger("gateway.http")


class Stalls:
    """Of the loop of one thread, which calls ``beat`` many times a second."""

    def __init__(self, *, stalled_s: float = STALLED_S, looked_every_s: float = LOOKED_EVERY_S) -> None:
        self._stalled_s = stalled_s
        self._looked_every_s = looked_every_s
        self._beat_at = monotonic()
        self._thread = 0
        self._ended = threading.Event()
        self.count = 0

    def begin(self) -> None:
        """Look after the loop of the thread that calls this, from now on."""
        self._thread = threading.get_ident()
        self.beat()
        threading.Thread(target=self._watch, name="gateway-stalls", daemon=True).start()

    def beat(self) -> None:
        self._beat_at = monotonic()

    def end(self) -> None:
        self._ended.set()

    def readings(self) -> Iterator[Reading]:
        yield Reading("loop_stalls", "How often the loop was held for a second or longer, so that nobody was answered.", self.count)

    def _watch(self) -> None:
        told: float | None = None  # the beat after which a stall was told
        while not self._ended.wait(self._looked_every_s):
            at = self._beat_at
            held_s = monotonic() - at
            if held_s >= self._stalled_s and at != told:
                told = at
                self.count += 1
                frame = sys._current_frames().get(self._thread)
                stack = "".join(traceback.format_stack(frame)[-FRAMES_MAX:]) if frame is not None else ""
                _log.warning("the loop is held, and nobody is answered", extra={"fields": {"seconds": round(held_s, 1), "stack": stack}})
