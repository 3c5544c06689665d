"""Transactions of one MongoDB client: begun, committed with the majority, undone, and done again where others came between.

The server gives up one of two that write the same document (a write conflict): nothing waits, and nothing is in a circle. Who wrote first
goes on; the other is Contended.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any, TypeVar

import pymongo
from pymongo import ReadPreference, WriteConcern, errors
from pymongo.read_concern import ReadConcern

from gateway.errors import AbilityMissing, Contended, DeadlineExceeded, StoreMisbehaved, StoreTimeout, StoreUnavailable
from gateway.stores.base import A, Collection, Request
from gateway.stores.kinds import listed
from gateway.stores.migrating import is_ours
from gateway.stores.mongo.alone import LoneTransaction, Unpacker
from gateway.stores.mongo.calls import WRITE_TIMEOUT_S, Calls, now
from gateway.stores.mongo.failures import is_of_unknown_outcome
from gateway.stores.mongo.migrations import KIND
from gateway.stores.reasons import unavailable
from gateway.stores.requests.request import TRANSACT

T = TypeVar("T")

ALONE = f"{KIND} on a server that stands alone (no replica set)"
COMMIT_TIMEOUT_S = WRITE_TIMEOUT_S / 2  # of each of two tries
UNPACK_WAIT_S = 1.0  # for a document's rows of the log, which are safe in it
UNDO_WAIT_S = 1.0  # for a transaction to be undone; a server that does not answer undoes it by itself
PAUSE_MIN_S, PAUSE_MAX_S = 0.002, 0.1  # before a request that was Contended is asked again, at random up to it

_SILENT = (asyncio.CancelledError, GeneratorExit, TimeoutError, StoreTimeout, StoreUnavailable, DeadlineExceeded)

Answers = Callable[[Calls, Request[Any]], Coroutine[Any, Any, Any]]
Guard = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]


class MongoTransaction:
    """See ``base.Transaction``. Once something has failed nothing of it can be committed: the same error is told again."""

    def __init__(self, calls: Calls, answers: Answers, guard: Guard) -> None:
        self.calls = calls
        self.failed: BaseException | None = None
        self.has_ended = False
        self._answers = answers
        self._guard = guard
        self._asking = asyncio.Lock()  # a session has one command at a time

    def answer(self, request: Request[A]) -> Coroutine[Any, Any, A]:
        return self._guard(self._answer(request))

    async def _answer(self, request: Request[Any]) -> Any:
        async with self._asking:
            if self.has_ended:
                raise StoreMisbehaved(f"the transaction of the store '{self.calls.name}' has ended: it was asked for a {request.operation}")
            if self.failed is not None:
                raise self.failed
            try:
                return await self._answers(self.calls, request)
            except asyncio.CancelledError:
                self.failed = StoreUnavailable(self.calls.name)  # to whoever goes on: what was cancelled may be half done
                raise
            except BaseException as exc:
                self.failed = exc
                raise


class Transactions:
    """Those of one store."""

    def __init__(self, calls: Calls, client: Callable[[], Any], answers: Answers, guard: Guard) -> None:
        self._calls = calls
        self._client = client
        self._answers = answers
        self._guard = guard
        self._are_there: bool | None = None
        self._unpacker = Unpacker(calls)
        self._ending: set[asyncio.Task[None]] = set()

    async def are_there(self) -> bool:
        """Return whether the server has transactions: a replica set or a sharded cluster. Asked once."""
        if self._are_there is None:
            with self._calls.translated(self._calls.timeout_s):
                hello = await self._client().admin.command("hello")
            self._are_there = "setName" in hello or hello.get("msg") == "isdbgrid"
        return self._are_there

    async def need(self, asked: str) -> None:
        """Raise AbilityMissing where the server has no transactions."""
        if not await self.are_there():
            raise AbilityMissing(asked, store=self._calls.name, kind=ALONE, needs=listed(TRANSACT))

    @asynccontextmanager
    async def given(self) -> AsyncIterator[MongoTransaction | LoneTransaction]:
        """Give a transaction: see ``base.Transacts``. On a server that stands alone it is of one document (``alone.py``)."""
        if await self._guard(self.are_there()):
            async with self.begin() as transaction:
                yield transaction
            return
        lone = LoneTransaction(self._calls, ALONE)
        try:
            yield lone
        finally:
            lone.has_ended = True
        unpacking = await self._guard(lone.commit())
        if unpacking is not None:
            await asyncio.wait({self._apart(unpacking)}, timeout=UNPACK_WAIT_S)

    async def unpack(self, collections: Iterable[Collection]) -> int:
        """Return how many documents were found that carried rows of the log, which are where they belong now."""
        is_alone = not await self._guard(self.are_there())
        count: int = await self._guard(self._unpacker.unpack(collections, is_alone=is_alone))
        return count

    async def unpack_all(self, collection: Collection) -> None:
        """Have no document of a collection of the graph's carry anything."""
        if collection.managed and not is_ours(collection.name):
            while await self.unpack([collection]):
                pass

    @asynccontextmanager
    async def begin(self, asked: str = "a transaction") -> AsyncIterator[MongoTransaction]:
        """Give a transaction of any number of documents. The server hears of it with the first command."""
        await self._guard(self.need(asked))
        with self._calls.translated(WRITE_TIMEOUT_S):
            session = await now(self._client().start_session())
            await now(
                session.start_transaction(
                    read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority"), read_preference=ReadPreference.PRIMARY
                )
            )
        transaction = MongoTransaction(self._calls.of(session), self._answers, self._guard)
        try:
            yield transaction
            if transaction.failed is not None:
                raise transaction.failed
        except BaseException as exc:
            undoing = self._apart(_undo(session))
            if not isinstance(exc, _SILENT):
                await asyncio.wait({undoing}, timeout=UNDO_WAIT_S)
            if isinstance(transaction.failed, Contended) and isinstance(exc, Exception) and not isinstance(exc, Contended):
                raise transaction.failed from transaction.failed.__cause__  # whatever came of it
            raise
        finally:
            transaction.has_ended = True
        await asyncio.shield(self._apart(self._commit(session)))

    async def alone(self, asked: str, work: Callable[[Calls], Awaitable[T]], *, of_one: bool) -> T:
        """Return what ``work`` gives in a transaction of its own, or in none, as each command ``of_one`` document is one.

        It is done again where others come between, for some seconds.
        """
        until, pause = monotonic() + WRITE_TIMEOUT_S, PAUSE_MIN_S
        while True:
            try:
                if of_one:
                    return await work(self._calls)
                async with self.begin(asked) as transaction:
                    return await work(transaction.calls)
            except Contended:
                if monotonic() > until:
                    raise
            await asyncio.sleep(random.uniform(0, pause))
            pause = min(2 * pause, PAUSE_MAX_S)

    def close(self) -> None:
        for task in self._ending:
            task.cancel()

    async def _commit(self, session: Any) -> None:
        try:
            for is_last in (False, True):
                try:
                    with pymongo.timeout(COMMIT_TIMEOUT_S):
                        await session.commit_transaction()
                    return
                except errors.PyMongoError as exc:
                    if not is_of_unknown_outcome(exc):
                        with self._calls.translated(WRITE_TIMEOUT_S):
                            raise
                    if is_last:
                        raise self._unknown(exc) from exc
        finally:
            await _end(session)

    def _unknown(self, exc: errors.PyMongoError) -> StoreUnavailable:
        error = unavailable(self._calls.name, exc)
        error.extensions["committed"] = "unknown"
        return error

    def _apart(self, ending: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run the end of a transaction so that a caller whose time is up goes at once: it takes a server that answers."""
        task = asyncio.create_task(ending)
        self._ending.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled():
            task.exception()  # seen: whoever still waits has it, and nobody else needs it


async def _undo(session: Any) -> None:
    try:
        with suppress(errors.PyMongoError):
            await session.abort_transaction()
    finally:
        await _end(session)


async def _end(session: Any) -> None:
    with suppress(errors.PyMongoError):
        await session.end_session()
