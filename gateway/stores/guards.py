"""What stands before each pool: as many calls at once as it has connections, none to a server that does not answer, and one more try for
a read that met a broken connection.

    closed      calls go through; of the last ``window_s`` seconds the calls and those that failed are counted
    open        after enough of them failed: for ``open_s`` seconds no call goes through, and each fails at once
    half-open   one call goes through, and decides

A call fails here where the store is unavailable, or did not answer within the store's own limit; not where its caller had less time than
that, nor where the store refused what it was asked. Stores of one pool have one guard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import uniform
from time import monotonic
from typing import Literal

from gateway.errors import DeadlineExceeded, GatewayError, PoolExhausted, StoreTimeout, StoreUnavailable
from gateway.places import Places
from gateway.stores.base import Store
from gateway.stores.reasons import Reason

BUCKETS = 10  # of a window
RETRY_PAUSE_S = (0.05, 0.2)
RETRIES_SAVED = 10.0  # at most, of a quiet time

State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class Protection:
    """The settings of guards. ``breaker_calls`` 0 leaves the breaker out, ``retry_share`` 0 the other try."""

    wait_s: float = 1.0  # for a place in the pool
    breaker_calls: int = 20  # in a window, below which nothing is decided
    breaker_share: float = 0.5  # of them that failed
    window_s: float = 10.0
    open_s: float = 5.0
    retry_share: float = 0.1  # of reads


class Guard(Places):
    """Of one pool with so many ``places``; None: it has a line of its own, which takes any number."""

    __slots__ = (
        "_clock",
        "_failed",
        "_opened_at",
        "_probing",
        "_protection",
        "_retries_left",
        "_slot",
        "_slot_at",
        "_total",
        "exhausted",
        "opened",
        "refused",
        "retried",
        "state",
    )

    def __init__(self, places: int | None = None, protection: Protection = Protection(), clock: Callable[[], float] = monotonic) -> None:
        super().__init__(places)
        self._protection = protection
        self._clock = clock
        self.state: State = "closed"
        self._opened_at = 0.0
        self._probing = False
        self._total = [0] * BUCKETS
        self._failed = [0] * BUCKETS
        self._slot = 0
        self._slot_at = clock()
        self._retries_left = 1.0
        self.opened = self.refused = self.exhausted = self.retried = 0  # since the start

    @property
    def places(self) -> int | None:
        return self.count

    @property
    def wait_s(self) -> float:
        return self._protection.wait_s

    @property
    def has_place(self) -> bool:
        """Whether ``enters`` would be true."""
        return self.state == "closed" and self._free > 0

    @property
    def lets_through(self) -> bool:
        """Whether a call would be let through now, be it as the one that decides."""
        if self.state == "closed":
            return True
        return not self._probing and (self.state == "half-open" or self._clock() - self._opened_at >= self._protection.open_s)

    # ------------------------------------------------------------------------------------------------------------- calls

    def enters(self) -> bool:
        """Take a place, if there is one and nothing speaks against it. PERF: all that a call meets where all is well, 0.1 µs."""
        if self.state == "closed" and self._free > 0:
            self._free -= 1
            return True
        return False

    async def enter(self, store: str, seconds: float) -> None:
        """Take a place, waiting for one for at most so many seconds; StoreUnavailable at once where calls are not let through."""
        self._pass(store)
        try:
            if not self.take():
                await self.wait(min(seconds, self._protection.wait_s))
        except TimeoutError:
            self._unprobe()
            self.exhausted += 1
            raise PoolExhausted(store, self.places or 0) from None
        except BaseException:
            self._unprobe()
            raise

    async def ready(self, store: str) -> None:
        """Return once there is a place in the order of the line, for who takes it before anybody else has a turn, or has it passed on.

        StoreUnavailable at once where calls are not let through.
        """
        self._pass(store)
        try:
            if not self.take():
                await self.wait(None)
        finally:
            self._unprobe()
        self._free += 1

    def pass_on(self) -> None:
        """Give the place that was ready to who is next."""
        if self.take():
            self.give_back()

    def leave(self, *, failed: bool) -> None:
        """Give a place back; ``failed``: the store did not answer."""
        if not failed:
            self.leave_answered()
            return
        self.give_back()
        if self.state == "closed":
            self._count_failed()
        elif self.state == "half-open":
            self._open()

    def leave_answered(self) -> None:
        """Give a place back: the store answered."""
        if self._line or self._free < 0:
            self.give_back()
        else:
            self._free += 1
        if self.state == "closed":  # PERF: no look at the clock, which only those that fail turn: with none nothing is to be decided
            self._total[self._slot] += 1
            if self._retries_left < RETRIES_SAVED:
                self._retries_left += self._protection.retry_share
        else:
            self._close()

    def leave_unjudged(self) -> None:
        """Give a place back, where nobody knows whether the store would have answered: the call was given up."""
        self.give_back()
        self._unprobe()

    def leave_after(self, error: BaseException | None) -> None:
        """Give a place back, after what came of the call; None: it was answered. Who had no time left has not asked the store."""
        if isinstance(error, StoreUnavailable | StoreTimeout):
            self.leave(failed=True)
        elif error is None or (isinstance(error, GatewayError) and not isinstance(error, DeadlineExceeded)):
            self.leave(failed=False)
        else:
            self.leave_unjudged()

    def may_retry(self, error: StoreUnavailable) -> bool:
        """Whether a read that met ``error`` is asked once more: its connection was lost, and not too many were asked twice lately."""
        if error.reason != Reason.LOST or self._retries_left < 1.0 or self.state != "closed":
            return False
        self._retries_left -= 1.0
        self.retried += 1
        return True

    @staticmethod
    def pause_s() -> float:
        """Return how long to wait before another try."""
        return uniform(*RETRY_PAUSE_S)

    # ----------------------------------------------------------------------------------------------------------- breaker

    def _pass(self, store: str) -> None:
        if self.state == "closed":
            return
        if self.state == "open" and self._clock() - self._opened_at >= self._protection.open_s:
            self.state = "half-open"
        if self.state == "open" or self._probing:
            self.refused += 1
            raise StoreUnavailable(store, Reason.BREAKER, Reason.BREAKER.told)
        self._probing = True

    def _unprobe(self) -> None:
        if self.state == "half-open":
            self._probing = False

    def _open(self) -> None:
        self.state = "open"
        self._probing = False
        self._opened_at = self._clock()
        self.opened += 1
        self._forget()

    def _close(self) -> None:
        self.state = "closed"
        self._probing = False
        self._forget()

    def _forget(self) -> None:
        self._total = [0] * BUCKETS
        self._failed = [0] * BUCKETS

    def _count_failed(self) -> None:
        self._turn()
        self._total[self._slot] += 1
        self._failed[self._slot] += 1
        protection, calls = self._protection, sum(self._total)
        if 0 < protection.breaker_calls <= calls and sum(self._failed) >= protection.breaker_share * calls:
            self._open()

    def _turn(self) -> None:
        """Go on to the part of the window that is now; those in between had nothing."""
        width = self._protection.window_s / BUCKETS
        passed = int((self._clock() - self._slot_at) / width)
        if passed <= 0:
            return
        for _ in range(min(passed, BUCKETS)):
            self._slot = (self._slot + 1) % BUCKETS
            self._total[self._slot] = self._failed[self._slot] = 0
        self._slot_at += passed * width


def guards_of(stores: Mapping[str, Store], protection: Protection) -> dict[str, Guard]:
    """Return the guard of each store by its name; names of one pool have one."""
    by_pool = {id(store): Guard(getattr(store, "places", None), protection) for store in stores.values()}
    return {name: by_pool[id(store)] for name, store in stores.items()}
