"""The one way to a store: layers, composed once at the start, that every request of every kind goes through.

    trace -> the layers that were given -> wait -> refuse -> keep -> filter and split -> route -> gather -> guard -> count and limit
    -> store.answer(request)

``wait`` is there only while a store has not been checked, as it was away at the start (``unchecked.py``), ``refuse`` only where a store's
kind declares that it cannot do everything (``kinds.py``), ``keep`` only where a store has it on: when it fails, reads are answered with
what it answered before (``stale.py``). ``route`` is there only where a store has replicas (``routing.py``): a read that one of
them could not answer is asked once more, of the primary. ``gather`` is there only where a store has that on: look-ups by key of several
requests become one call (``coalescing.py``).

``guard`` has a place in the store's pool for each call, lets none through to a store that does not answer, and asks once more where a read
met a connection that was lost (``guards.py``).

What a store that enforces no types answers is held to them (``values.py``), before anybody else sees it.

A layer is a function ``layer(request, caller, next)`` that returns what ``next(request, caller)`` does, or something else: it may ask for
another request, or none. Those that are given see a request whole, before it is split into calls.

Longer than 400 lines: the layers are composed and read in one place, and the way of a call through guard, limit and count is one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Hashable, Mapping, Sequence
from contextvars import Token
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from gateway.deadlines import Deadlines
from gateway.errors import AbilityMissing, Conflict, Contended, GatewayError, StoreTimeout, StoreUnavailable, WrongValue
from gateway.observability.accounts import Account
from gateway.stores.base import Get, Request, Store, Transaction, statements
from gateway.stores.coalescing import Coalescer
from gateway.stores.guards import Guard, Protection, guards_of
from gateway.stores.kinds import Kind, kind_named, listed
from gateway.stores.requests import ABILITIES, Ability
from gateway.stores.routing import UNKNOWN, Freshness, Route, Server
from gateway.stores.stale import Stale
from gateway.stores.unchecked import Look, Unchecked
from gateway.stores.watches import Watch

T = TypeVar("T")

NO_ROUTES: Mapping[str, Route] = MappingProxyType({})


@dataclass(slots=True)
class StoreCall:
    """What one call to a store was and how long it took; kept only when a trace was asked for."""

    store: str
    kind: str
    collection: str
    operation: str
    keys: int
    started_ms: float  # since the request's start
    duration_ms: float = 0.0
    rows: int = 0
    statements: list[Any] = field(default_factory=list)  # native: SQL text, pipeline, Cypher
    error: str | None = None
    coalesced: int = 0  # look-ups that shared the call, where others did
    stale_s: float | None = None  # how old what was kept is, with which it was answered as the store failed


class Caller(Protocol):
    """Who asks: a request's context, or an operator's command."""

    started: float
    trace: list[StoreCall] | None
    within: Transaction | None  # what answers its writes, where that is not the store itself
    freshness: Freshness | None  # what its reads have to see; None: all that the primary has
    request_id: str  # empty for a command's
    account: Account  # where what it asks is counted
    may_be_stale: bool  # whether its reads may be answered with what was kept, and are kept (``stale.py``)

    @property
    def sharing(self) -> Hashable:
        """What has to be equal of two callers whose look-ups may share a call (``coalescing.py``): who asks. None: they share with none."""
        ...

    def seconds(self, limit: float) -> float:
        """Return the seconds that a call may take whose own limit is ``limit``; DeadlineExceeded where there are none left."""
        ...

    def found_wrong(self, error: WrongValue) -> None:
        """Hear of values that are not of their column's type; ``error`` stands in their rows."""
        ...


NOTHING_SLOW: Mapping[str, float] = MappingProxyType({})

Answers = Callable[[Request[Any]], Awaitable[Any]]
Next = Callable[[Request[Any], Any], Awaitable[Any]]  # a request, a Caller
Layer = Callable[[Request[Any], Any, Next], Awaitable[Any]]
OfServer = Callable[[Request[Any], Any, Server], Awaitable[Any]]


class StoresByName(dict[str, Store]):
    """Stores by name; a name that none has is told with those that there are."""

    def __missing__(self, name: str) -> Store:
        raise LookupError(f"there is no store {name!r}; there are {', '.join(self)}")


class Funnel:
    """The layers before some stores. ``calls`` counts what reached a store, by ``"store.collection"``: once per part.

    ``wrong_values`` counts the values that stores answered which are not of their column's type, by store, collection (or native query)
    and column: what was read twice is counted twice. It has at most an entry for each declared column. ``watches`` has how long the calls
    to each store took; ``slow_s`` says from how many seconds on one is a line in the log.
    """

    def __init__(
        self,
        stores: StoresByName,
        layers: Sequence[Layer],
        *,
        timeout_s: float,
        write_timeout_s: float,
        protection: Protection | None = None,
        guards: Mapping[str, Guard] | None = None,
        routes: Mapping[str, Route] = NO_ROUTES,
        slow_s: Mapping[str, float] = NOTHING_SLOW,
        coalesced: Container[str] = (),
        stale: Stale | None = None,
    ) -> None:
        self._stores = stores
        self.guards = guards_of(stores, protection or Protection()) if guards is None else dict(guards)
        self._routes = routes
        self.watches = {name: Watch(slow_s.get(name)) for name in stores}
        self.timeout_s = timeout_s
        self.write_timeout_s = write_timeout_s
        self._deadlines = Deadlines()
        self.calls: Counter[str] = Counter()
        self.wrong_values: Counter[tuple[str, str, str]] = Counter()
        self.coalescer = Coalescer(coalesced, timeout_s=timeout_s, deadlines=self._deadlines, guards=self.guards) if coalesced else None
        primary, replica = (self._call, self._of_replica) if self.coalescer is None else self._gather(self.coalescer)
        self.stale = stale
        last = self._split(self._route(primary, replica) if routes else primary)
        self._last = self._refuse(last if stale is None else stale.over(last, stores, routes))
        self.layers = tuple(layers)
        self.held: Unchecked | None = None
        self._compose(self._last)

    def _compose(self, last: Next) -> None:
        # PERF: composed once. Layers that wait for nothing are plain functions, and a request that is not traced meets no layer for it:
        # a point read from memory takes 3.5 µs of CPU in all, as much as methods of its own for each type of request took.
        self.plain = composed(self.layers, last)
        self.traced = composed((self._trace,), self.plain)

    def swap(self, one: str, other: str) -> None:
        """Have two stores change their names, with the guards before their pools. What they answer now is answered."""
        self._stores[one], self._stores[other] = self._stores[other], self._stores[one]
        self.guards[one], self.guards[other] = self.guards[other], self.guards[one]

    def hold(self, looks: Mapping[str, Look]) -> None:
        """Have what clients ask of these stores wait until a look at each has found nothing wrong; then the layer for it is gone."""
        self.held = Unchecked(looks, self._release)
        self._compose(self._wait(self.held, self._last))

    def _release(self) -> None:
        self.held = None
        self._compose(self._last)

    def ask_unlayered(self, request: Request[Any], caller: Caller) -> Awaitable[Any]:
        """Return the answer to a request that is no client's, past the layers that were given."""
        return self._last(request, caller)

    async def _trace(self, request: Request[Any], caller: Caller, next_: Next) -> Any:
        assert caller.trace is not None
        begin = monotonic()
        kind = self._stores[request.store].kind
        started_ms = round((begin - caller.started) * 1000, 3)
        call = StoreCall(request.store, kind, request.about, request.operation, request.keys_count, started_ms)
        caller.trace.append(call)
        token = statements.set(call.statements)
        try:
            answer = await next_(request, caller)
            call.rows = request.rows_in(answer)
            return answer
        except (Exception, asyncio.CancelledError) as exc:
            call.error = type(exc).__name__
            raise
        finally:
            statements.reset(token)
            call.duration_ms = round((monotonic() - begin) * 1000, 3)

    def _wait(self, held: Unchecked, next_: Next) -> Next:
        async def waiting(request: Request[Any], caller: Caller) -> Any:
            await self.within(request.store, caller.seconds(self.timeout_s), partial(held.passed, request.store))
            return await next_(request, caller)

        def wait(request: Request[Any], caller: Caller) -> Awaitable[Any]:
            return (waiting if held.holds(request.store) else next_)(request, caller)

        return wait

    def _refuse(self, next_: Next) -> Next:
        """Return ``next_``, behind what refuses a request that its store's kind cannot answer; itself where all kinds can all."""
        kinds = {name: kind for name, store in self._stores.items() if (kind := kind_named(store.kind)) is not None}
        lacking = {name: (kind, ABILITIES - kind.can) for name, kind in kinds.items() if kind.can != ABILITIES}
        if not lacking:
            return next_

        def refuse(request: Request[Any], caller: Caller) -> Awaitable[Any]:
            found = lacking.get(request.store)
            if found is not None:
                kind, lacks = found
                needed = request.needs & lacks
                if needed:
                    return _refused(request, kind, needed)
            return next_(request, caller)

        return refuse

    def _split(self, next_: Next) -> Next:
        async def in_parts(request: Request[Any], parts: Sequence[Request[Any]], caller: Caller) -> Any:
            return request.joined(await asyncio.gather(*(next_(part, caller) for part in parts)))

        def split(request: Request[Any], caller: Caller) -> Awaitable[Any]:
            if request.is_plain:
                return next_(request, caller)
            parts = request.filtered().split()
            return next_(parts[0], caller) if len(parts) == 1 else in_parts(request, parts, caller)

        return split

    def _gather(self, coalescer: Coalescer) -> tuple[Next, OfServer]:
        """Return what asks the primary, and what asks a replica: look-ups by key together with others."""

        names, guards, call, of_replica = coalescer.names, self.guards, self._call, self._of_replica

        def primary(request: Request[Any], caller: Caller) -> Awaitable[Any]:
            if isinstance(request, Get) and request.store in names and (sharing := caller.sharing) is not None:
                return coalescer.ask(request, caller, sharing, guards[request.store], call)
            return call(request, caller)

        def replica(request: Request[Any], caller: Caller, server: Server) -> Awaitable[Any]:
            if isinstance(request, Get) and request.store in names and (sharing := caller.sharing) is not None:
                return coalescer.ask(request, caller, sharing, server.guard, partial(of_replica, server=server), server)
            return of_replica(request, caller, server)

        return primary, replica

    def _route(self, primary: Next, replica: OfServer) -> Next:
        """Return ``primary``, behind what has a replica answer a read that need not see the newest."""

        def route(request: Request[Any], caller: Caller) -> Awaitable[Any]:
            its = self._routes.get(request.store)
            fresh = caller.freshness
            if its is None or fresh is None:
                return primary(request, caller)
            if request.is_write or not fresh.may_lag:  # a mutation that finds itself done has to be seen afterwards, too
                fresh.wrote.add(its.name)
            elif its.name not in fresh.wrote:
                seen = fresh.seen.get(its.name)
                server = None if seen == UNKNOWN else its.server(seen)
                if server is not None:
                    return replica(request, caller, server)
            return primary(request, caller)

        return route

    async def _of_replica(self, request: Request[Any], caller: Caller, server: Server) -> Any:
        """Return a replica's answer, or the primary's where it has none. Contended: what it replays was in the way of the read."""
        try:
            return await self._call_server(request, caller, server)
        except StoreUnavailable as error:
            server.failed(error)
        except StoreTimeout as error:
            if error.seconds >= self.timeout_s:  # its caller had all the time that there is
                server.failed(error)
            raise
        except Contended:
            pass
        return await self._call(request, caller, is_again=True)

    async def _call_server(self, request: Request[Any], caller: Caller, server: Server) -> Any:
        """Return the answer of a server beside the store itself, as ``_call`` does, once."""
        name, guard, limit = request.store, server.guard, self.timeout_s
        if not guard.enters():
            await guard.enter(name, caller.seconds(limit))
        self.calls[f"{name}.{request.about}"] += 1
        seconds = 0.0
        try:
            seconds = caller.seconds(limit)
            answer = await self._answered(name, request, caller, server.answer, seconds)
        except BaseException as error:
            if isinstance(error, StoreTimeout) and seconds < limit:  # its caller had less time than a store may take
                guard.leave_unjudged()
            else:
                guard.leave_after(error)
            raise
        guard.leave(failed=False)
        return self._checked(name, getattr(server, "store", self._stores[name]), request, answer, caller)

    async def _call(self, request: Request[Any], caller: Caller, *, is_again: bool = False) -> Any:
        """Return the store's own answer, within the time there is; what it raises bears the name that was asked. It is counted."""
        name = request.store
        store = self._stores[name]
        if not request.is_write:
            limit, answers = self.timeout_s, store.answer
        elif caller.within is None:
            limit, answers = self.write_timeout_s, store.answer
        else:  # which has its connection already
            self.calls[f"{name}.{request.about}"] += 1
            answer = await self._answered(name, request, caller, caller.within.answer, caller.seconds(self.write_timeout_s))
            return self._checked(name, store, request, answer, caller)
        guard = self.guards[name]
        if not guard.enters():
            await guard.enter(name, caller.seconds(limit))
        self.calls[f"{name}.{request.about}"] += 1
        # PERF: ``_answered`` in line: a coroutine less is 0.4 µs of the 3 that a call to a store takes here.
        account, watch, seconds = caller.account, self.watches[name], limit
        account.calls += 1
        account.keys += request.keys_count
        ran: list[Any] = []
        token = None if watch.slow_s is None else statements.set(ran)
        begin = monotonic()
        try:
            seconds = caller.seconds(limit)
            limited = self._deadlines.until(begin + seconds)
            try:
                answer = await answers(request)
            except BaseException as exc:
                if limited.leave() and isinstance(exc, asyncio.CancelledError):
                    raise TimeoutError from exc
                raise
            limited.leave()
            rows = request.rows_in(answer)
        except Exception as exc:
            raised = exc if _is_as_asked(exc, name) else _named(exc, name, seconds)
            if isinstance(raised, StoreTimeout) and seconds != limit:  # its caller had less time than a store may take
                guard.leave_unjudged()
            else:
                guard.leave_after(raised)
            self._watched(watch, token, begin, request, caller, 0, type(exc).__name__)
            if is_again or request.is_write or not isinstance(raised, StoreUnavailable) or not guard.may_retry(raised):
                if raised is exc:
                    raise
                raise raised from _cause(exc)
        except BaseException:
            guard.leave_unjudged()
            self._watched(watch, token, begin, request, caller, 0, "")
            raise
        else:
            guard.leave_answered()
            account.rows += rows
            if token is not None:
                statements.reset(token)
                if isinstance(token.old_value, list):  # of a trace
                    token.old_value.extend(ran)
            if watch.took(took := monotonic() - begin):
                self._tell_slow(watch, request, caller, ran, rows, took, "")
            return answer if store.enforces_types else self._checked(name, store, request, answer, caller)
        await asyncio.sleep(min(guard.pause_s(), caller.seconds(limit)))
        return await self._call(request, caller, is_again=True)

    async def _answered(self, name: str, request: Request[Any], caller: Caller, answers: Answers, seconds: float) -> Any:
        account, watch = caller.account, self.watches[name]
        account.calls += 1
        account.keys += request.keys_count
        token = None if watch.slow_s is None else statements.set([])
        rows, error = 0, ""
        begin = monotonic()
        try:
            with self._deadlines.within(seconds):
                answer = await answers(request)
            rows = request.rows_in(answer)
            account.rows += rows
            return answer
        except Exception as exc:
            error = type(exc).__name__
            if _is_as_asked(exc, name):
                raise
            raise _named(exc, name, seconds) from _cause(exc)
        finally:
            self._watched(watch, token, begin, request, caller, rows, error)

    def _watched(
        self, watch: Watch, token: Token[Any] | None, begin: float, request: Request[Any], caller: Caller, rows: int, error: str
    ) -> None:
        """Count how long a call took, and tell of one that was slow."""
        seconds = monotonic() - begin
        is_slow = watch.took(seconds)
        if token is None:
            return
        ran = statements.get() or ()
        statements.reset(token)
        if isinstance(token.old_value, list):  # of a trace
            token.old_value.extend(ran)
        if is_slow:
            self._tell_slow(watch, request, caller, ran, rows, seconds, error)

    def _tell_slow(
        self, watch: Watch, request: Request[Any], caller: Caller, ran: Sequence[Any], rows: int, took: float, error: str
    ) -> None:
        fields: dict[str, Any] = {
            "request": caller.request_id,
            "store": request.store,
            "kind": self._stores[request.store].kind,
            "collection": request.about,
            "operation": request.operation,
            "keys": request.keys_count,
            "rows": rows,
            "ms": round(took * 1_000, 3),
        }
        watch.tell(fields | {"error": error} if error else fields, ran)

    def _checked(self, name: str, store: Store, request: Request[Any], answer: Any, caller: Caller) -> Any:
        if store.enforces_types:
            return answer
        checks = request.checks
        if checks is None or checks.hold(request.rows_of(answer)):
            return answer
        counts: Counter[str] = Counter()
        replaced = request.with_rows(answer, checks.replacing(f"{name}.{request.about}", caller.found_wrong, counts))
        self.wrong_values.update({(name, request.about, column): count for column, count in counts.items()})
        return replaced

    async def place(self, name: str, seconds: float) -> Guard:
        """Take a place in the pool of a store, for a transaction; whoever has it leaves its guard afterwards."""
        guard = self.guards[name]
        if not guard.enters():
            await guard.enter(name, seconds)
        return guard

    def ended(self, opened: Transaction) -> None:
        """Hear that a transaction is over, however it ended."""
        if self.stale is not None:
            self.stale.ended(opened)

    async def within(self, name: str, seconds: float, call: Callable[[], Awaitable[T]]) -> T:
        """Return what a call to the store ``name`` that is no request gives, awaited as one that is."""
        try:
            with self._deadlines.within(seconds):
                return await call()
        except Exception as exc:
            if _is_as_asked(exc, name):
                raise
            raise _named(exc, name, seconds) from _cause(exc)


async def _refused(request: Request[Any], kind: Kind, needed: frozenset[Ability]) -> Any:
    raise AbilityMissing(f"{request.operation} of {request.about}", store=request.store, kind=kind.name, needs=listed(needed))


def composed(layers: Sequence[Layer], last: Next) -> Next:
    """Return one function that calls the layers in their order, and at their end ``last``."""
    for layer in reversed(layers):
        last = _before(layer, last)
    return last


def _before(layer: Layer, next_: Next) -> Next:
    def call(request: Request[Any], caller: Any) -> Awaitable[Any]:
        return layer(request, caller, next_)

    return call


def _is_as_asked(error: Exception, store: str) -> bool:
    """Return whether an error can go on as it is: it names no other store, which has the same pool, than the one that was asked."""
    return not isinstance(error, TimeoutError) and not (isinstance(error, GatewayError) and error.extensions.get("store", store) != store)


def _named(error: Exception, store: str, seconds: float) -> Exception:
    """Return the error with the name of the store that was asked."""
    if isinstance(error, Contended):
        return Contended(store)
    if isinstance(error, StoreUnavailable):
        unavailable = StoreUnavailable(store, error.reason, error.told)
        unavailable.extensions.update((name, value) for name, value in error.extensions.items() if name not in ("code", "store"))
        return unavailable
    if isinstance(error, GatewayError) and not isinstance(error, StoreTimeout):
        named = type(error)(error.message, **{n: value for n, value in error.extensions.items() if n not in ("code", "store")}, store=store)
        if isinstance(error, Conflict) and isinstance(named, Conflict):
            named.collection, named.columns = error.collection, error.columns
        return named
    return StoreTimeout(store, error.seconds if isinstance(error, StoreTimeout) else seconds)


def _cause(error: Exception) -> BaseException:
    """Return the driver's error where there is one, for it is what the log shows."""
    return (error.__cause__ if isinstance(error, GatewayError) else None) or error
