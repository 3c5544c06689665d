"""One transaction of plain Python: copies of the tables that it changes, which take the place of the store's when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from gateway.errors import StoreMisbehaved
from gateway.stores.base import A, Collection, Request, Value, Where
from gateway.stores.memory.answers import Answers
from gateway.stores.memory.table import Table


class Committed(Protocol):
    """What a transaction has of its store."""

    name: str
    kind: str

    def called(self, request: Request[Any]) -> None: ...

    def table(self, collection: Collection) -> Table: ...

    def dicts(self, name: str, where: Where | None) -> list[dict[str, Value]]: ...

    def committed(self, tables: dict[str, Table]) -> None: ...


class MemoryTransaction(Answers):
    """What is asked of one store as one. ``writing`` is the lock that it holds from what is asked first to its end.

    Whoever reads outside of it sees what is committed. After the first error nothing more is answered.
    """

    def __init__(self, store: Committed, writing: asyncio.Lock) -> None:
        super().__init__()
        self.name, self.kind = store.name, store.kind
        self._store = store
        self._writing = writing
        self._is_writing = False
        self._tables: dict[str, Table] = {}
        self._failure: Exception | None = None
        self._turn = asyncio.Lock()

    def answer(self, request: Request[A]) -> Coroutine[Any, Any, A]:
        return self._in_turn(request)

    async def _in_turn(self, request: Request[A]) -> A:
        async with self._turn:
            if self._failure is not None:
                raise self._failure
            try:
                if not self._is_writing:
                    await self._writing.acquire()
                    self._is_writing = True
                self._store.called(request)
                answer: A = await self._handlers[type(request)](request)
                return answer
            except Exception as exc:
                self._failure = exc
                raise

    def commit(self) -> None:
        """End it. What was refused before, and by nobody told, is raised again: nothing has happened."""
        failure, tables = self._failure, self._tables
        self.roll_back()
        if failure is not None:
            raise failure
        self._store.committed(tables)

    def roll_back(self) -> None:
        self._failure = StoreMisbehaved(f"store {self.name}: the transaction has ended")
        self._tables = {}
        if self._is_writing:
            self._is_writing = False
            self._writing.release()

    def _table(self, collection: Collection) -> Table:
        return self._tables.get(collection.name) or self._store.table(collection)

    def _changing(self, collection: Collection) -> Table:
        table = self._tables.get(collection.name)
        if table is None:
            table = self._tables[collection.name] = self._store.table(collection).copy()
        return table

    def _dicts(self, name: str, where: Where | None) -> list[dict[str, Value]]:
        return self._tables[name].dicts(where) if name in self._tables else self._store.dicts(name, where)
