"""Rows that a store answered before, for when it fails: where its setting ``stale_if_error_s`` is on.

Look-ups by key (``Get``) and pages (``Fetch``) that queries of clients read are kept, row by row and page by page, by what they were asked
for: columns, conditions, order, page, server pool, and who asked (``Caller.sharing``), so that nobody is answered with what others may see.
When the store is unavailable, does not answer in time or has no place left, all that a request asks for was kept, and none of it is older
than the limit, the request is answered with that, and its caller is told how old it is. Else the error stands.

What is kept is bounded by count and bytes, those of what was asked among them; what was not used for longest goes first. A write through
this process drops the kept row of each key that it is of, and whatever else is kept of its collection: pages, and rows by another column
than the key. It does so when it is over: after the commit, where it is part of a transaction. A read that was under way meanwhile is not
kept.

What has to see a write is never answered with what was kept: mutations, transactions, events of subscriptions, and requests of a client
that has just written in a store with replicas (``routing.Freshness``).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from sys import getsizeof
from time import monotonic
from typing import Any, Protocol

from gateway.errors import GatewayError, PoolExhausted, StoreTimeout, StoreUnavailable, WrongValue
from gateway.observability.metrics import Reading
from gateway.stores.base import Ends, Fetch, Get, Key, Pairs, Request, Slice, Store, statements
from gateway.stores.base import Transaction as Within
from gateway.stores.routing import Freshness, Route
from gateway.stores.sharing import can_change
from gateway.stores.weights import weight_of, weight_of_question
from gateway.stores.written import Home, Wrote, written_by

ROWS_MAX = 10_000
LIMIT_BYTES = 16 * 1024 * 1024
FAILURES = (StoreUnavailable, StoreTimeout, PoolExhausted)

WHOLE = object()  # in place of a key: pages that are kept for all their parents together

# PERF: what a kept row or page takes beside its values, in the mappings, with the entry and the key: tracemalloc over 10,000 rows of one
# column. A look-up takes 8 µs more, and each row 0.9.
ENTRY_BYTES = 560

Next = Callable[[Request[Any], Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class StaleLimits:
    """``seconds`` is how old what is given may be, by store; ``collections`` are those of a store that are kept, where not all are."""

    seconds: Mapping[str, float]
    collections: Mapping[str, frozenset[str]] = field(default_factory=dict)
    rows_max: int = ROWS_MAX
    limit_bytes: int = LIMIT_BYTES


class Reader(Protocol):
    """Who asks (``funnel.Caller``), where ``may_be_stale``: a query."""

    freshness: Freshness | None
    trace: Any  # None, or a list of StoreCall
    has_wrong_values: bool  # whether a value that is not of its column's type stands in what it read, of whatever store

    def found_stale(self, store: str, collection: str, age_s: float, error: GatewayError) -> None:
        """Hear that a read was answered with what was kept, as the store failed with ``error``."""
        ...


class _Lane:
    """What is kept of one question, for those who may share its answers: a row or a page for each of ``keys``, or that there was none."""

    __slots__ = ("bytes", "copies", "homes", "key", "key_name", "keys")

    def __init__(self, key: Hashable, request: Get | Fetch, homes: tuple[Home, ...]) -> None:
        self.key = key
        self.bytes = 0  # of the question itself, which may be longer than its answers; weighed when the first of these is kept
        self.homes = homes
        self.keys: dict[Any, None] = {}
        is_by_key = isinstance(request, Get) and request.column == request.collection.key_name
        self.key_name = request.collection.key_name if is_by_key else None  # None: it has other things than rows by their key
        self.copies = any(can_change(request.collection[name]) for name in request.columns)


class _Kept:
    __slots__ = ("at", "bytes", "value")

    def __init__(self, value: Any, at: float, weight: int) -> None:
        self.value = value
        self.at = at
        self.bytes = weight


class _Read:
    """A read that is under way, and what was written meanwhile of what it reads, by its keys; None: whichever rows."""

    __slots__ = ("key_name", "written")

    def __init__(self, lane: _Lane) -> None:
        self.key_name = lane.key_name
        self.written: set[Key] | None = set()


class Stale:
    """What is kept of the stores of ``limits``, for one process and one tenant. ``clock`` gives seconds."""

    def __init__(self, limits: StaleLimits, clock: Callable[[], float] = monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._kept: OrderedDict[tuple[_Lane, Any], _Kept] = OrderedDict()
        self._lanes: dict[Hashable, _Lane] = {}
        self._rows: dict[tuple[Home, str], dict[Key, dict[_Lane, None]]] = {}  # lanes that have this row, by the columns of its key
        self._others: dict[Home, dict[_Lane, None]] = {}  # lanes that have something else of it
        self._reads: dict[Home, dict[_Read, None]] = {}
        self._within: dict[int, list[Wrote]] = {}  # what transactions that are open wrote, by their identity
        self.bytes = 0
        self.answers: Counter[tuple[str, str]] = Counter()  # that were given, by store and collection
        self.missed: Counter[tuple[str, str]] = Counter()  # errors that stood, as not all was kept

    def __len__(self) -> int:
        return len(self._kept)

    def longest_s(self, names: Iterable[str]) -> float:
        """Return how old what is given of these stores may be."""
        return max((self._limits.seconds.get(name, 0.0) for name in names), default=0.0)

    def readings(self) -> Iterator[Reading]:
        """Give what was counted."""
        for (store, collection), count in self.answers.items():
            labels = {"store": store, "collection": collection}
            yield Reading("stale_answers", "Reads that were answered with what was kept, as the store failed.", count, labels)
        for (store, collection), count in self.missed.items():
            labels = {"store": store, "collection": collection}
            yield Reading("stale_misses", "Reads of a store that failed, of which not all was kept.", count, labels)
        yield Reading("stale_rows", "Rows and pages that are kept for when a store fails.", len(self), is_counter=False)
        yield Reading("stale_bytes", "Bytes that these are taken to hold.", self.bytes, is_counter=False)

    def over(self, next_: Next, stores: Mapping[str, Store], routes: Mapping[str, Route]) -> Next:
        """Return ``next_``, behind what keeps and gives answers of these stores. All that it is over has one memory."""
        seconds = {name: limit for name, limit in self._limits.seconds.items() if name in stores}
        pools = {id(stores[name]) for name in seconds}
        written = frozenset(name for name, store in stores.items() if id(store) in pools)
        only = self._limits.collections

        def over(request: Request[Any], caller: Any) -> Awaitable[Any]:
            name = request.store
            if request.is_write:
                return self._write(request, caller, next_, stores[name]) if name in written else next_(request, caller)
            if name not in seconds or not caller.may_be_stale or not isinstance(request, Get | Fetch):
                return next_(request, caller)
            if name in only and request.collection.name not in only[name]:
                return next_(request, caller)
            lane = self._lane(request, caller, stores[name])
            if lane is None:
                return next_(request, caller)
            return self._read(request, caller, next_, lane, seconds[name], routes.get(name))

        return over

    # ------------------------------------------------------------------------------------------------------------- reads

    def _lane(self, request: Get | Fetch, caller: Any, pool: Store) -> _Lane | None:
        """Return the lane of a request; None where nothing is kept of it, as its caller shares with none."""
        sharing = caller.sharing
        if sharing is None:
            return None
        collection = request.collection
        homes: tuple[Home, ...] = ((id(pool), collection.place),)
        asked = request.share_key()
        if isinstance(request, Fetch):
            match = request.match
            if isinstance(match, Ends):
                homes = tuple(dict.fromkeys((*homes, (id(pool), match.edges.place))))  # edges may be rows of the nodes themselves
                asked = (Ends, collection, match.edges, match.parent, match.node, match.where, *_form(request))
            elif isinstance(match, Pairs):
                asked = (Pairs, collection, match.column, tuple(match.pairs), *_form(request))
        key = (id(pool), sharing, request.columns, asked)
        try:
            lane = self._lanes.get(key)
        except TypeError:  # a layer's own condition holds what cannot be hashed
            return None
        return _Lane(key, request, homes) if lane is None else lane

    async def _read(self, request: Get | Fetch, caller: Reader, next_: Next, lane: _Lane, limit: float, route: Route | None) -> Any:
        read = _Read(lane)
        for home in lane.homes:
            self._reads.setdefault(home, {})[read] = None
        began = self._clock()
        try:
            answer = await next_(request, caller)
        except FAILURES as error:
            found = None if _has_to_see(caller, route) else self._found(request, lane, limit)
            about = (request.store, request.collection.name)
            if found is None:
                self.missed[about] += 1
                raise
            self.answers[about] += 1
            given, age_s = found
            caller.found_stale(request.store, request.collection.name, age_s, error)
            _trace(caller, age_s)
            return given
        finally:
            for home in lane.homes:
                reads = self._reads[home]
                del reads[read]
                if not reads:
                    del self._reads[home]
        self._keep(request, answer, lane, read, began, may_be_wrong=caller.has_wrong_values)
        return answer

    def _found(self, request: Get | Fetch, lane: _Lane, limit: float) -> tuple[Any, float] | None:
        """Return the answer that was kept, and its age in seconds; None where something of it was not, or is too old."""
        lane = self._lanes.get(lane.key, lane)
        oldest = now = self._clock()
        answer: dict[Any, Any] = {}
        for key in _keys_of(request):
            kept = self._kept.get((lane, key))
            if kept is None:
                return None
            if now - kept.at > limit:
                self._forget(lane, key)
                return None
            self._kept.move_to_end((lane, key))
            oldest = min(oldest, kept.at)
            if kept.value is not None:
                answer[key] = deepcopy(kept.value) if lane.copies else kept.value
        return dict(answer.get(WHOLE, answer)), now - oldest

    def _keep(self, request: Get | Fetch, answer: Any, lane: _Lane, read: _Read, at: float, *, may_be_wrong: bool) -> None:
        written = read.written
        if written is None:
            return
        lane = self._lanes.get(lane.key, lane)
        for key in _keys_of(request):
            if key in written:
                continue
            value = _steady(answer if key is WHOLE else answer.get(key))
            kept = self._kept.get((lane, key))
            if kept is not None:
                if kept.value == value and not lane.copies:
                    kept.at = at
                    self._kept.move_to_end((lane, key))
                    continue
                self._forget(lane, key)
            if may_be_wrong and _has_wrong(value):
                continue
            try:
                weight = ENTRY_BYTES + getsizeof(key) + weight_of(value)
                own = deepcopy(value) if lane.copies else value
            except RecursionError:  # JSON of many levels
                continue
            lane.bytes = lane.bytes or ENTRY_BYTES + weight_of_question(lane.key)
            if lane.bytes + weight <= self._limits.limit_bytes:
                self._add(lane, key, _Kept(own, at, weight))
        while len(self._kept) > self._limits.rows_max or self.bytes > self._limits.limit_bytes:
            self._forget(*next(iter(self._kept)))

    def _add(self, lane: _Lane, key: Any, kept: _Kept) -> None:
        self._kept[lane, key] = kept
        self.bytes += kept.bytes
        if lane.key_name is not None:
            self._rows.setdefault((lane.homes[0], lane.key_name), {}).setdefault(key, {})[lane] = None
        if not lane.keys:
            self._lanes[lane.key] = lane
            self.bytes += lane.bytes
            if lane.key_name is None:
                for home in lane.homes:
                    self._others.setdefault(home, {})[lane] = None
        lane.keys[key] = None

    def _forget(self, lane: _Lane, key: Any) -> None:
        self.bytes -= self._kept.pop((lane, key)).bytes
        del lane.keys[key]
        if lane.key_name is not None:
            at = lane.homes[0], lane.key_name
            rows = self._rows[at]
            _remove(rows, key, lane)
            if not rows:
                del self._rows[at]
        if lane.keys:
            return
        del self._lanes[lane.key]
        self.bytes -= lane.bytes
        if lane.key_name is None:
            for home in lane.homes:
                _remove(self._others, home, lane)

    # ------------------------------------------------------------------------------------------------------------ writes

    def _write(self, request: Request[Any], caller: Any, next_: Next, pool: Store) -> Awaitable[Any]:
        wrote = list(written_by(request, id(pool)))
        if not wrote:
            return next_(request, caller)
        if caller.within is not None:
            self._within.setdefault(id(caller.within), []).extend(wrote)
            return next_(request, caller)
        return self._alone(request, caller, next_, wrote)

    async def _alone(self, request: Request[Any], caller: Any, next_: Next, wrote: Sequence[Wrote]) -> Any:
        try:
            return await next_(request, caller)
        finally:  # also where it failed: nobody knows whether it happened
            self._drop(wrote)

    def ended(self, within: Within) -> None:
        """Hear that a transaction is over, however it ended: what it wrote is dropped."""
        self._drop(self._within.pop(id(within), ()))

    def _drop(self, wrote: Sequence[Wrote]) -> None:
        for home, key_name, keys in wrote:
            for read in self._reads.get(home, ()):
                if keys is None or read.written is None or read.key_name != key_name:
                    read.written = None
                else:
                    read.written.update(keys)
            for (at, name), rows in list(self._rows.items()):
                if at == home:  # another collection of the same table may have another key
                    for key in list(rows) if keys is None or name != key_name else keys:
                        for lane in list(rows.get(key, ())):
                            self._forget(lane, key)
            for lane in list(self._others.get(home, ())):
                for key in list(lane.keys):
                    self._forget(lane, key)


def _keys_of(request: Get | Fetch) -> Sequence[Any]:
    """Return under what its answer is kept, each once."""
    if isinstance(request, Get):
        return list(dict.fromkeys(request.keys))
    match = request.match
    if match is None:
        return (None,)
    return (WHOLE,) if isinstance(match, Pairs) else list(dict.fromkeys(match.keys))


def _trace(caller: Reader, age_s: float) -> None:
    told = statements.get() if caller.trace is not None else None
    for call in caller.trace or ():
        if call.statements is told:
            call.stale_s = round(age_s, 3)


def _form(fetch: Fetch) -> tuple[Any, ...]:
    return fetch.where, fetch.order, fetch.page, fetch.count


def _steady(value: Any) -> Any:
    """Return a row, a page or pages by parent in a form that nobody changes."""
    if value is None:
        return None
    if isinstance(value, Slice):
        return value._replace(rows=tuple(map(tuple, value.rows)))
    if isinstance(value, Mapping):
        return {key: _steady(page) for key, page in value.items()}
    return tuple(value)


def _has_wrong(value: Any) -> bool:
    """Return whether a value that is not of its column's type stands in a row: it is told to whose request it is, and to nobody else."""
    if isinstance(value, dict):
        return any(map(_has_wrong, value.values()))
    rows = value.rows if isinstance(value, Slice) else (value or (),)
    return any(isinstance(item, WrongValue) for row in rows for item in row)


def _remove(index: dict[Any, dict[_Lane, None]], at: Any, lane: _Lane) -> None:
    lanes = index[at]
    del lanes[lane]
    if not lanes:
        del index[at]


def _has_to_see(caller: Reader, route: Route | None) -> bool:
    """Return whether a request has written, or its client just before it, in a store that has replicas."""
    fresh = caller.freshness
    return route is not None and fresh is not None and (not fresh.may_lag or route.name in fresh.wrote or route.name in fresh.seen)
