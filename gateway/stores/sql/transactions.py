"""One transaction of a store: what is asked of it is answered on the one connection that it has, one thing after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import Contended, StoreMisbehaved, StoreUnavailable
from gateway.stores.base import A, Lock, Request, Rows
from gateway.stores.sql.answers import Answers, Runs


class SqlTransaction(Answers):
    """Once something has failed it answers nothing any more, and is not committed: that error is raised again by all that follows."""

    def __init__(self, store: Answers, session: Runs) -> None:
        self.name = store.name
        self.statements = store.statements
        self._store = store
        self._driver, self._dialect, self._changes = session, store._dialect, store._changes
        self._handlers = self._handled()
        self._asking = asyncio.Lock()
        self._failed: BaseException | None = None
        self._has_ended = False

    async def answer(self, request: Request[A]) -> A:
        async with self._asking:  # a read in parts asks several things at once
            if self._has_ended:
                raise StoreMisbehaved(f"the transaction of the store '{self.name}' has ended: it was asked for a {request.operation}")
            if self._failed is not None:
                raise self._failed
            try:
                answer: A = await self._handlers[type(request)](request)
            except asyncio.CancelledError:
                self._failed = StoreUnavailable(self.name)  # to whoever goes on: what was cancelled may be half done
                raise
            except BaseException as error:
                self._failed = error
                raise
            return answer

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Raise at the end what failed, where nobody has; being contended in place of what else came of that."""
        try:
            yield
        except Exception as error:
            if isinstance(self._failed, Contended) and not isinstance(error, Contended):
                raise self._failed from error
            raise
        finally:
            self._has_ended = True
        if self._failed is not None:
            raise self._failed

    @property
    def enforces_types(self) -> bool:
        return self._store.enforces_types

    @enforces_types.setter
    def enforces_types(self, value: bool) -> None:
        self._store.enforces_types = value

    async def _lock(self, lock: Lock) -> Rows:
        if self._dialect.kind == "sqlite":  # nobody else writes
            return await super()._lock(lock)
        statement, values = self.statements.lock(lock)
        keys = statement.match
        if not lock.keys or keys is None or (sent := keys.send(sorted(set(lock.keys)), values)) is None:
            return {}
        rows = await self._read(statement, values)
        width = len(lock.collection.names)
        return keys.named(statement.keys, sent, {row[width]: tuple(row[:width]) for row in rows})
