"""One transaction of Neo4j: BEGIN with what is asked first, COMMIT or ROLLBACK at its end, all on one connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import neo4j
from neo4j import exceptions as driver_errors

from gateway.errors import StoreMisbehaved, StoreUnavailable
from gateway.stores.base import A, Aggregate, Collection, Request, note
from gateway.stores.neo4j.answers import Answers, Names, Records
from gateway.stores.neo4j.conditions import Parameters
from gateway.stores.neo4j.native import NativeText
from gateway.stores.neo4j.sources import Source

TRANSACTION_TIMEOUT_S = 60.0  # after which the server gives one up, whatever it waits for
COMMIT_TIMEOUT_S = 30.0
ROLLBACK_TIMEOUT_S = 2.0
BROKEN_AT_ONCE_S = 0.25  # a connection that fails sooner than this was broken before the call


class Opener(Protocol):
    """What a transaction has of its store."""

    name: str

    def session(self, access: str) -> neo4j.AsyncSession: ...

    def translated(self, timeout_s: float, collections: Sequence[Collection] = ()) -> AbstractContextManager[None]: ...


class Neo4jTransaction(Answers):
    """What is asked of one store as one. The server gives up the whole of it at the first error: nothing more is answered then.

    So no read may fail because of a value, as those of managed collections may outside of it, to be asked again.
    """

    def __init__(self, store: Opener, names: Names) -> None:
        super().__init__(names)
        self.name = store.name
        self._store = store
        self._session: neo4j.AsyncSession | None = None
        self._transaction: neo4j.AsyncTransaction | None = None
        self._failure: Exception | None = None
        self._turn = asyncio.Lock()

    def answer(self, request: Request[A]) -> Coroutine[Any, Any, A]:
        return self._in_turn(request)

    async def _in_turn(self, request: Request[A]) -> A:
        async with self._turn:
            if self._failure is not None:
                raise self._failure
            try:
                answer: A = await self._handlers[type(request)](request)
                return answer
            except Exception as exc:
                self._failure = exc
                raise
            except BaseException:
                await self.cut()
                self._failure = StoreUnavailable(self.name)
                raise

    # --------------------------------------------------------------------------------------------------------------- end

    async def commit(self) -> None:
        """End it. What was refused before, and by nobody told, is raised again: nothing has happened."""
        if self._failure is not None:
            failure = self._failure
            await self.roll_back()
            raise failure
        self._end()
        if self._transaction is None:
            return
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                with self._store.translated(COMMIT_TIMEOUT_S):
                    await self._transaction.commit()
        except (StoreUnavailable, TimeoutError) as exc:
            await self.cut()
            unknown = exc if isinstance(exc, StoreUnavailable) else StoreUnavailable(self.name)
            unknown.extensions["committed"] = "unknown"
            raise unknown from exc.__cause__
        except Exception:  # the server's: it has rolled back
            await self._closed()
            raise
        except BaseException:
            await self.cut()
            raise
        await self._closed()

    async def roll_back(self) -> None:
        """End it as if nothing had been asked. A server that does not answer finds its connection cut, and does the same."""
        self._end()
        if self._transaction is None:
            return
        try:
            async with asyncio.timeout(ROLLBACK_TIMEOUT_S):
                await self._transaction.close()
        except (TimeoutError, OSError, driver_errors.DriverError, driver_errors.Neo4jError):
            await self.cut()
        except BaseException:
            await self.cut()
            raise
        else:
            await self._closed()

    def _end(self) -> None:
        self._failure = StoreMisbehaved(f"store {self.name}: the transaction has ended")

    async def _closed(self) -> None:
        """Give the connection back."""
        session, self._session, self._transaction = self._session, None, None
        if session is None:
            return
        try:
            async with asyncio.timeout(ROLLBACK_TIMEOUT_S):
                await session.close()
        except (TimeoutError, OSError, driver_errors.DriverError, driver_errors.Neo4jError):
            await cut(session)
        except BaseException:
            await cut(session)
            raise

    async def cut(self) -> None:
        """Cut its connection, at which the server rolls back."""
        self._end()
        session, self._session, self._transaction = self._session, None, None
        if session is not None:
            await cut(session)

    # -------------------------------------------------------------------------------------------------------- statements

    async def _records(self, text: str, parameters: Parameters, collections: Sequence[Collection] = ()) -> tuple[Sequence[str], Records]:
        note(text)
        with self._store.translated(TRANSACTION_TIMEOUT_S, collections):
            transaction = self._transaction or await self._begun()
            result = await transaction.run(text, parameters)
            records = [record async for record in result]
            return result.keys(), records

    async def _changed(self, text: str, parameters: Parameters, collections: Sequence[Collection]) -> Any:
        _, records = await self._records(text, parameters, collections)
        return records[0][0] if records else None

    async def _begun(self) -> neo4j.AsyncTransaction:
        """Once more where the pool had a connection that broke since it was last used."""
        started = time.monotonic()
        try:
            return await self._begin()
        except (driver_errors.ServiceUnavailable, driver_errors.SessionExpired, OSError):
            if time.monotonic() - started > BROKEN_AT_ONCE_S:
                raise
        return await self._begin()

    async def _begin(self) -> neo4j.AsyncTransaction:
        session = self._store.session(neo4j.WRITE_ACCESS)
        try:
            self._transaction = await session.begin_transaction(timeout=TRANSACTION_TIMEOUT_S)
        except BaseException:
            await cut(session)
            raise
        self._session = session
        return self._transaction

    async def _asked(self, statement: Callable[[Source, Any], tuple[str, Parameters]], request: Any) -> tuple[Source, Any]:
        names = self._names  # what is summed up is of a type, or fails
        source = names.careful(request.collection) if isinstance(request, Aggregate) else names.steady(request.collection)
        return source, await self._read(*statement(source, request))

    async def _learn(self, text: NativeText, names: Sequence[str], parameters: Parameters) -> None:
        """Nothing: what is tried may be refused, and all of it with that."""


async def cut(session: neo4j.AsyncSession) -> None:
    """Cut a session's connection, as leaving its block by a cancellation does. Nothing is waited for."""
    leave: Any = session.__aexit__
    await leave(asyncio.CancelledError, asyncio.CancelledError(), None)
