"""What a batch is handed: a way to the stores, who asks, the time that is left, and the request's id."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Hashable, Mapping
from copy import copy
from types import MappingProxyType
from typing import Any

from gateway.errors import CallerError, DeadlineExceeded, GatewayError, LimitExceeded, WrongValue
from gateway.observability.accounts import Account
from gateway.stores import Stores
from gateway.stores.base import A, Collection, Request
from gateway.stores.base import Transaction as Within
from gateway.stores.funnel import StoreCall
from gateway.stores.routing import Freshness
from gateway.writes.replication import NOTHING_DECLARED, Replication
from gateway.writes.rows import Written
from gateway.writes.transaction import Transaction

__all__ = ["ANONYMOUS", "RequestContext", "StoreCall"]

ANONYMOUS = "anonymous"
NO_VALUES: Mapping[str, Any] = MappingProxyType({})

_log = logging.getLogger("gateway.errors")


class RequestContext:
    """One request's. ``deadline`` is on the clock of ``time.monotonic``; None means the stores' own limits alone.

    ``values`` are what the graph's context function gave (``Graph(context=…)``), ``subject`` and ``scope`` of them say who asks.
    ``written`` are the response keys of root fields that have written, which who cancels the request wants to know.
    """

    # PERF: what most requests leave as it is stands with the class. A dataclass that sets all of it took 1.9 µs a request, this 0.7.
    within: Within | None = None  # what answers its writes, where that is no store; one's own is opened by ``transaction``
    plan: Any = None  # the engine's, when it is to be explained
    batch_loader: Any = None  # of ``loaders.ask``
    is_mutation = False
    may_be_stale = False  # a query, whose reads may be answered with what a store answered before it failed
    has_wrong_values = False  # a WrongValue stands in a row that it read
    cursor: str | None = None  # of a subscription's event: to go on after it
    idempotency_key: str | None = None  # a mutation of the same subject and key happens once
    committed: tuple[Written, ...] = ()  # what its transactions have written, in order
    refused: CallerError | None = None  # why all of it is refused, which its one root field found out

    def __init__(
        self,
        stores: Stores,
        request_id: str = "",
        deadline: float | None = None,
        trace: list[StoreCall] | None = None,
        started: float = 0.0,  # on the same clock
        values: Mapping[str, Any] = NO_VALUES,
        replication: Replication = NOTHING_DECLARED,  # what the graph declares of its writes
        written: list[str] | None = None,
        account: Account | None = None,  # what it does, counted
        *,
        idempotency_key: str | None = None,
        freshness: Freshness | None = None,  # what its reads have to see; None: all that the primary has
    ) -> None:
        if idempotency_key is not None:
            self.idempotency_key = idempotency_key
        self.stores = stores
        self.request_id = request_id
        self.deadline = deadline
        self.trace = trace
        self.started = started
        self.values = values
        self.replication = replication
        self.account = account or Account()
        self.freshness = freshness
        self.written = [] if written is None else written
        self.key_loaders: dict[tuple[Collection, str], Any] = {}  # of ``loaders.load``, by collection and column
        self.tasks: set[asyncio.Task[Any]] = set()  # of the request; those left at its end are cancelled
        self.noted: list[LimitExceeded] = []  # limits that it is beyond where they are only measured
        self.extensions: dict[str, Any] = {}  # what the answer says of itself, beside its data

    def inside(self, opened: Within) -> RequestContext:
        """Return the same request's, whose writes ``opened`` answers."""
        inside = copy(self)
        inside.within = opened
        return inside

    @property
    def subject(self) -> str:
        subject: str = self.values.get("subject", ANONYMOUS)
        return subject

    @property
    def scope(self) -> frozenset[str] | tuple[str, ...]:
        """What the subject may do, by words of the graph's own."""
        scope: frozenset[str] | tuple[str, ...] = self.values.get("scope", ())
        return scope

    @property
    def sharing(self) -> Hashable:
        """What has to be equal of two requests whose look-ups may share a call: who asks. None: a mutation's reads share with none."""
        if self.is_mutation or self.within is not None or self.committed:
            return None
        values = self.values
        return values.get("subject", ANONYMOUS), values.get("scope", ())

    def ask(self, request: Request[A]) -> Awaitable[A]:
        """Return the answer of a store to one request, at once and alone: the one way to a store (``stores/funnel.py``)."""
        funnel = self.stores.funnel
        return (funnel.plain if self.trace is None else funnel.traced)(request, self)

    def transaction(self, store: str, *, field: str = "") -> Transaction:
        """Return a transaction of one store, for ``async with``; ``field`` is the mutation's, for the audit."""
        return Transaction(self, store, field=field)

    def check(self) -> None:
        """Raise DeadlineExceeded when the request's time is up: for phases that wait for nothing."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise DeadlineExceeded(round(self.deadline - self.started, 3))

    def seconds(self, limit: float) -> float:
        """Return the seconds that a call may take whose own limit is ``limit``: less where less is left of the request."""
        if self.deadline is None:
            return limit
        left = self.deadline - time.monotonic()
        if left <= 0:  # the store was not even asked
            raise DeadlineExceeded(round(self.deadline - self.started, 3))
        return left if left < limit else limit

    def found_wrong(self, error: WrongValue) -> None:
        self.has_wrong_values = True
        _log.warning("%s: %s", self.request_id, error.detail)

    def found_stale(self, store: str, collection: str, age_s: float, error: GatewayError) -> None:
        """Have the answer say that something in it is as a store answered it before, and the log."""
        self.account.stale += 1
        told = self.extensions.setdefault("stale", [])
        its = next((item for item in told if (item["store"], item["collection"]) == (store, collection)), None)
        if its is None:
            message = "%s: the store %s failed (%s), and %s of it were answered as they were %.1f s ago"
            _log.warning(message, self.request_id, store, error.code, collection, age_s)
            told.append({"store": store, "collection": collection, "ageSeconds": round(age_s, 3)})
        else:
            its["ageSeconds"] = max(its["ageSeconds"], round(age_s, 3))

    @property
    def has_loaders(self) -> bool:
        """Whether anything was asked by them, so that something is left to end."""
        return bool(self.tasks or self.key_loaders) or self.batch_loader is not None

    def forget_reads(self) -> None:
        """Forget the rows that loaders keep: what was read before a write may not be true after it."""
        self.key_loaders.clear()
