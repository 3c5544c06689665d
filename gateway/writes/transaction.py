"""One transaction of one store, as authors of mutations have it: what it writes is told to the log in the same commit.

async with ctx.transaction("users") as tx:
    user = await tx.insert(users, {"id": ..., "name": ...})
    await tx.update(users, key, {"name": "Ada"}, expected_version=3)

Rows come first, and their log at the end. Longer than 400 lines: what authors ask, the life of the transaction and what it tells the log
share what one class keeps.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

from gateway.errors import AbilityMissing, Conflict, Contended, StoreMisbehaved, StoreTimeout, StoreUnavailable
from gateway.stores.base import (
    A,
    Bump,
    Collection,
    Delete,
    Get,
    Insert,
    Key,
    Lock,
    Remove,
    Request,
    Together,
    Transacts,
    Update,
    Upsert,
    Value,
    Within,
)
from gateway.stores.funnel import Funnel
from gateway.stores.guards import Guard
from gateway.stores.migrating import is_ours
from gateway.stores.moves import HELD_S, fence_of
from gateway.stores.types import split_key
from gateway.writes import rows
from gateway.writes.changing import Changes, insert_of, is_logged, stale
from gateway.writes.declarations import State
from gateway.writes.ids import new_id
from gateway.writes.points import reached
from gateway.writes.rows import By, Outcome, Written
from gateway.writes.tables import tables_of
from gateway.writes.times import now
from gateway.writes.wake import wake

EPOCH = "epoch"  # of the store, in its leases
_LEASE_VALUE = tables_of("").leases.names.index("value")
_MOVED = "it is moved to another database, of which these settings know nothing"

_POINT_OF: Mapping[type[Request[Any]], str] = {Bump: "version", Insert: "row", Update: "row", Remove: "row", Together: "log"}

AtEnd = Callable[[Sequence[Outcome], str], Insert]  # of what was written, and when

_log = logging.getLogger("gateway.audit")


class _Asked(NamedTuple):
    target: str
    collection: Collection
    key: Key
    payload: Any


class Transaction:
    """What is asked of one store as one. Rows are mappings of all columns, as wire values; keys are text.

    Of managed collections each change has a version, an audit row, and rows of the outbox for the targets of its collection: all of these
    in one call at the end, before the commit. One request at a time is asked; after one that failed there is nothing but the rollback.
    ``ctx`` is a RequestContext, whose time, trace and layers hold; afterwards its ``committed`` has what was written.
    """

    def __init__(self, ctx: Any, store: str, *, field: str = "", at_end: AtEnd | None = None) -> None:
        self.store = store
        self.by = By(ctx.subject, ctx.request_id, field)
        self.written: list[Written] = []
        self._ctx = ctx
        self._caller = ctx  # while it is open: the same, with the store's transaction
        self._pool = ctx.stores[store]
        self._gate = ctx.stores.gate
        self._tables = tables_of(store)
        self._changes = Changes(self._ask, self._tables, self.written)
        self._at_end = at_end
        self._asked: list[_Asked] = []
        self._failed: BaseException | None = None
        self._is_open = False
        self._begun_at = 0.0
        self._turn = asyncio.Lock()
        self._opened: AbstractAsyncContextManager[Any] | None = None
        self._guard: Guard | None = None

    # ------------------------------------------------------------------------------------------------------ for authors

    async def insert(self, collection: Collection, values: Mapping[str, Value], *, audited: bool = True) -> State:
        """Insert a row; the database gives the columns that are not given. Conflict where its key, or a unique value, is taken."""
        [state] = await self.insert_many(collection, [values], audited=audited)
        return state

    async def insert_many(self, collection: Collection, rows_: Sequence[Mapping[str, Value]], *, audited: bool = True) -> Sequence[State]:
        """Insert rows of the same columns, in one call."""
        self._require_here(collection.name, collection.store)
        found = await self._changes.insert(insert_of(collection, rows_), audited=audited)
        return [rows.state_of(collection, row) for row in found]

    async def update(
        self, collection: Collection, key: Key, values: Mapping[str, Value], *, expected_version: int | None = None
    ) -> State | None:
        """Set columns of a row and return it; None where there is none. Conflict where its version is not the expected one.

        Without columns nothing is written.
        """
        self._require_here(collection.name, collection.store)
        for name in values:
            collection[name]  # LookupError with those that there are
            if name in collection.key:
                raise StoreMisbehaved(f"an update of {collection.name}: expected columns that are not of its key, got {name!r}")
        parts = split_key(key, len(collection.key)) if len(collection.key) > 1 else (key,)
        if parts is None:
            return None
        if not values:
            return await self._as_it_is(collection, key, expected_version)
        changed = await self._changes.update(Update(collection, parts, tuple(values.items())), expected_version)
        return None if changed is None or changed.after is None else rows.state_of(collection, changed.after)

    async def delete(self, collection: Collection, key: Key, *, expected_version: int | None = None) -> State | None:
        """Delete a row and return what it was; None where there is none."""
        self._require_here(collection.name, collection.store)
        parts = split_key(key, len(collection.key)) if len(collection.key) > 1 else (key,)
        if parts is None:
            return None
        changed = await self._changes.remove(Remove(collection, parts), expected_version)
        return None if changed is None else rows.state_of(collection, changed.before)

    async def get(self, collection: Collection, key: Key) -> State | None:
        """Return a row, which nobody else changes until the transaction ends."""
        self._require_here(collection.name, collection.store)
        found = await self._ask(Lock(collection, [key]))
        return rows.state_of(collection, found[key]) if key in found else None

    async def version(self, collection: Collection, key: Key) -> int:
        """Return the version of a row of a managed collection; 0 where it was never written."""
        self._require_here(collection.name, collection.store)
        return await self._changes.version(collection, key)

    async def ask(self, request: Request[A]) -> A:
        """Return the answer to a request of the store. A change of a managed collection is told to the log, as above; a read sees it.

        StoreMisbehaved for a request of another store: one transaction is one store's; what belongs to others is delivered by the outbox.
        """
        self._require_here(request.about, request.store)
        return cast("A", await self._answer(request))

    async def ask_untold(self, request: Request[A]) -> A:
        """Return the answer to a request as it is: the log hears nothing of it, as where the log itself is written, or a replica."""
        self._require_here(request.about, request.store)
        return cast("A", await self._ask(request if request.is_write else Within(request)))

    async def _answer(self, request: Request[Any]) -> Any:
        match request:
            case Insert() | Update() | Remove() if is_ours(request.collection.name):
                pass
            case Insert():
                return await self._changes.insert(request)
            case Update():
                return await self._changes.update(request)
            case Remove():
                return await self._changes.remove(request)
            case Upsert() if is_logged(request.collection) and request.rows:
                return await self._changes.upsert(request)
            case Delete() if is_logged(request.collection) and request.keys:
                return await self._changes.delete(request)
            case Together() if any(is_logged(insert.collection) for insert in request.inserts):
                for insert in request.inserts:
                    await self._changes.insert(insert)
                return None
        return await self._ask(request if request.is_write else Within(request))

    def deliver(self, target: str, collection: Collection, key: Key, payload: Any = None) -> None:
        """Have a follow-up run for the row of ``key``, which this transaction writes. ``payload`` is JSON's."""
        known = self._ctx.replication.follow_ups(collection)
        if target not in known:
            raise StoreMisbehaved(
                f"a delivery of {collection.name}: expected a follow-up that the graph declares for it "
                f"({', '.join(known) or 'it has none'}), got {target!r}"
            )
        self._asked.append(_Asked(target, collection, key, payload))

    @property
    def about(self) -> tuple[str, Key] | None:
        """The noun and the key of the change that was tried last."""
        return self._changes.about

    async def _as_it_is(self, collection: Collection, key: Key, expected_version: int | None) -> State | None:
        state = await self.get(collection, key)
        if state is not None and expected_version is not None:
            version = await self._changes.version(collection, key)
            if version != expected_version:
                raise stale(collection, key, expected_version, version)
        return state

    def _require_here(self, about: str, store: str) -> None:
        if self._ctx.stores[store] is not self._pool:
            raise StoreMisbehaved(
                f"the transaction of the store {self.store}: expected requests of that store alone, got one of {about} in {store}. One "
                "transaction is one store's: what belongs to others is delivered from the outbox (replicate, cascade, follow_up)"
            )

    async def _ask(self, request: Request[Any]) -> Any:
        async with self._turn:
            if not self._is_open:
                raise StoreMisbehaved(f"the transaction of the store {self.store}: expected no {request.operation} after its end")
            if self._failed is not None:
                raise StoreMisbehaved(
                    f"the transaction of the store {self.store}: expected nothing after what failed in it "
                    f"({type(self._failed).__name__}), got {request.operation} of {request.about}"
                ) from self._failed
            point = _POINT_OF.get(type(request), "") if request.is_write else ""
            try:
                reached(f"{point}.before")
                answer = await self._caller.ask(request)
                reached(f"{point}.after")
                return answer
            except BaseException as exc:
                self._failed = exc
                raise

    # --------------------------------------------------------------------------------------------------------- its life

    async def __aenter__(self) -> Self:
        if not isinstance(self._pool, Transacts):
            raise AbilityMissing("a transaction", store=self.store, kind=self._pool.kind, needs="transact")
        funnel = self._ctx.stores.funnel
        if self._gate is not None:
            await self._gate.enter(self.store, self._ctx.seconds(HELD_S))
            self._pool = self._ctx.stores[self.store]  # it may have moved meanwhile
            try:
                return await self._begin(funnel)
            except BaseException:
                self._gate.leave(self.store)
                raise
        return await self._begin(funnel)

    async def _begin(self, funnel: Funnel) -> Self:
        manager = cast("Transacts", self._pool).transaction()
        guard = await funnel.place(self.store, self._ctx.seconds(funnel.write_timeout_s))
        reached("begin.before")
        self._begun_at = monotonic()
        try:
            opened = await funnel.within(self.store, self._ctx.seconds(funnel.write_timeout_s), manager.__aenter__)
        except BaseException as exc:
            guard.leave_after(exc)
            raise
        self._guard = guard
        self._opened = manager
        self._caller = self._ctx.inside(opened)
        self._is_open = True
        reached("begin.after")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            await self._end(error)
        finally:
            if self._gate is not None:
                self._gate.leave(self.store)

    async def _end(self, error: BaseException | None) -> None:
        caught = self._failed if error is None else None  # by the author, who went on: the database may hold half of what was asked
        if isinstance(caught, asyncio.CancelledError):  # by a limit of the author's own
            caught = StoreUnavailable(self.store)
        found = error or caught
        if found is None:
            try:
                await self._tell()
            except BaseException as exc:
                found = exc
        self._is_open = False
        self._ctx.has_wrong_values |= self._caller.has_wrong_values
        assert self._guard is not None
        ended = self._ctx.stores.funnel.ended
        if found is None:
            try:
                await self._commit()
            except BaseException as exc:
                self._guard.leave_after(exc)
                raise
            finally:
                ended(self._caller.within)
            self._guard.leave_after(None)
            return
        try:
            await self._roll_back(found)
        finally:
            ended(self._caller.within)
            self._guard.leave_unjudged()  # what it ended with may be another store's
        if found is not error:
            raise found

    async def _commit(self) -> None:
        assert self._opened is not None
        funnel = self._ctx.stores.funnel
        reached("commit.before")
        try:  # its whole time, whatever is left of the request's: one that is cut short has happened or not, and nobody knows
            await funnel.within(self.store, funnel.write_timeout_s, partial(self._opened.__aexit__, None, None, None))
        except (StoreUnavailable, StoreTimeout) as exc:
            exc.extensions.setdefault("committed", "unknown")
            raise
        reached("commit.after")
        ctx = self._ctx
        ctx.committed = (*ctx.committed, *self.written)
        ctx.forget_reads()
        for name in dict.fromkeys([self.store, *(its.collection.store for its in self.written)]):
            wake(name)
        for its in self.written:
            if its.version is None and its.audited:
                self._log_plain(its)

    async def _roll_back(self, error: BaseException) -> None:
        """Roll back; what comes out of that in place of the error (Contended) is raised, as it says what has happened."""
        assert self._opened is not None
        funnel = self._ctx.stores.funnel
        leave = partial(self._opened.__aexit__, type(error), error, error.__traceback__)
        try:
            await funnel.within(self.store, funnel.write_timeout_s, leave)
        except (StoreUnavailable, StoreTimeout) as exc:
            if exc is not error:
                _log.debug("%s: not rolled back by us: %s", self.by.request_id, exc.message)  # the server does, as nobody commits
        except BaseException as exc:
            if exc is not error:
                raise

    # ---------------------------------------------------------------------------------------------------------- the log

    async def _tell(self) -> None:
        """Write the rows of the log, all in one call; none where nothing of a managed collection was written."""
        logged = [its for its in self.written if its.version is not None]
        delivered = self._deliveries_asked(logged)
        if not logged and self._at_end is None:
            return
        at = now()
        inserts: list[Insert] = []
        if self._at_end is not None:
            inserts.append(self._at_end([its.outcome for its in self.written], at))
        await self.pass_fences(its.collection.store for its in logged)
        if logged:
            inserts += await self._rows_of(logged, delivered, at)
        await self._ask(Together(tuple(inserts)))

    async def pass_fences(self, written: Iterable[str] = ()) -> None:
        """Lock a fence of each store that may move, so that it is not closed before the commit. Contended where it is closed already;
        StoreUnavailable where this process knows nothing of its candidate.
        """
        await self._epoch()
        moving = self._gate.names if self._gate is not None else frozenset[str]()
        fenced = self._ctx.replication.fenced(self.store)
        for name in sorted((moving | fenced).intersection((self.store, *written))):
            id_ = fence_of(name)
            found = await self._ask(Lock(self._tables.leases, [id_]))
            is_closed = id_ in found and not found[id_][_LEASE_VALUE]
            if name not in moving:
                if is_closed:
                    raise StoreUnavailable(name, "moved", _MOVED)
            elif id_ not in found:  # the first that writes here since there is a candidate
                try:
                    await self._ask(Insert(self._tables.leases, ("id", "until", "value"), [(id_, now(), 1)]))
                except Conflict as error:
                    raise Contended(name) from error
            elif is_closed:
                assert self._gate is not None
                self._gate.found_closed(name)
                raise Contended(name)

    async def _rows_of(self, logged: Sequence[Written], asked: Mapping[str, Sequence[_Asked]], at: str) -> list[Insert]:
        replication, tables = self._ctx.replication, self._tables
        due = [
            rows.delivery_row(target, its)
            for its in logged
            for target in replication.told_of(its.collection, is_deleted=its.action == rows.DELETED)
        ]
        due += [rows.delivery_row(each.target, its, each.payload) for its in logged for each in asked.get(its.id, ())]
        audits = [rows.audit_row(tables, new_id(), at, self.by, its) for its in logged if its.audited]
        if self.has_own_audit:
            due += rows.audit_deliveries(tables, audits)
        inserts = [rows.outbox(tables, await self._epoch(), at, logged)]
        if due:
            inserts.append(rows.deliveries(tables, due))
        if audits and not self.has_own_audit:
            inserts.append(rows.audits(tables, audits))
        return inserts

    @property
    def has_own_audit(self) -> bool:
        """Whether the audit is in another store than what is written here, and so is delivered there."""
        audit = self._ctx.replication.audit
        return audit is not None and self._ctx.stores[audit] is not self._pool

    def _deliveries_asked(self, logged: Sequence[Written]) -> Mapping[str, Sequence[_Asked]]:
        """Return the follow-ups that were asked for, by the last write of their row."""
        last = {(its.collection, its.key): its.id for its in logged}
        asked: dict[str, list[_Asked]] = {}
        for each in self._asked:
            found = last.get((each.collection, each.key))
            if found is None:
                raise StoreMisbehaved(
                    f"a delivery to {each.target}: expected a row of {each.collection.name} that this transaction writes, got {each.key!r}"
                )
            asked.setdefault(found, []).append(each)
        return asked

    async def _epoch(self) -> int:
        """Return the store's epoch. It is read with the fences in its database, of stores of which no candidate is known here."""
        replication, leases = self._ctx.replication, self._tables.leases
        epoch: int | None = replication.epoch(self.store)
        if epoch is None:
            moving = self._gate.names if self._gate is not None else frozenset[str]()
            stores = self._ctx.stores
            fences = {fence_of(name, 0): name for name in stores.names if stores[name] is self._pool and name not in moving}
            found = await self._ask(Within(Get(leases, ("value",), [EPOCH, *fences])))
            epoch = int(found[EPOCH][0]) if EPOCH in found else 0
            fenced = frozenset(name for fence, name in fences.items() if fence in found)
            replication.found_epoch(self.store, epoch, fenced, self._begun_at)
        return epoch

    def _log_plain(self, its: Written) -> None:
        _log.info(
            "%s: %s by %s: %s of %s %r, which is not managed",
            self.by.request_id,
            self.by.field or "a write",
            self.by.subject,
            its.action,
            its.collection.name,
            its.key,
        )
