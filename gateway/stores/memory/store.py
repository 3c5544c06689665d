"""Keep collections in plain Python: the reference for every other kind, and what tests and benchmarks of the layers above ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.errors import StoreMisbehaved
from gateway.stores.base import A, Collection, Request, Value, Where
from gateway.stores.described import Description, as_declared
from gateway.stores.memory.answers import Answers
from gateway.stores.memory.table import Table
from gateway.stores.memory.transactions import MemoryTransaction

CALLS_KEPT = 10_000  # of ``calls``: a store that runs for days must not grow by what it was asked


class MemoryStore(Answers):
    """A store whose rows live and die with it. Two of them never share rows, whatever their URLs.

    It keeps what it is given: a null in a column that is not nullable stays there, which is how tests come by one. In place of a value of
    another type than its column's it keeps that there was one.
    For tests too: ``calls`` holds what was asked, and every call raises ``fail_with`` while it is set.
    """

    kind = "memory"

    def __init__(self, name: str, url: str = "memory://") -> None:
        super().__init__()
        self.name = name
        self.url = url
        self.fail_with: Exception | None = None
        self.calls: list[Request[Any]] = []
        self.enforces_types = True  # until it is given a value of another type than its column's
        self._tables: dict[str, Table] = {}
        self._writing = asyncio.Lock()

    async def open(self) -> None: ...

    async def ping(self) -> None:
        self._fail_if_told_to()

    async def close(self) -> None: ...

    def answer(self, request: Request[A]) -> Coroutine[Any, Any, A]:
        return self._write(request) if request.is_write else self._read(request)

    async def _read(self, request: Request[A]) -> A:
        self.called(request)
        answer: A = await self._handlers[type(request)](request)
        return answer

    async def _write(self, request: Request[A]) -> A:
        async with self.transaction() as transaction:
            return await transaction.answer(request)

    # ------------------------------------------------------------------------------------------------------ transactions

    async def can_transact(self) -> bool:
        return True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryTransaction]:
        transaction = MemoryTransaction(self, self._writing)
        try:
            yield transaction
        except BaseException:
            transaction.roll_back()
            raise
        transaction.commit()

    def committed(self, tables: dict[str, Table]) -> None:
        """Have the tables that a transaction changed in place of those that there were."""
        self._tables.update(tables)
        self.enforces_types = self.enforces_types and all(table.is_sound for table in tables.values())

    # ------------------------------------------------------------------------------------------------------------ schema

    async def describe(self, collections: Sequence[Collection]) -> Description:
        self._fail_if_told_to()
        return as_declared(collections)

    async def migrate(self, name: str, collections: Sequence[Collection], scripts: Path | None) -> list[str]:  # noqa: ARG002 - the port's signature
        self._fail_if_told_to()
        missing = [c for c in collections if c.name not in self._tables]
        for collection in missing:
            self.table(collection)
        return [f"{name}: created collection {collection.name}" for collection in missing]

    def called(self, request: Request[Any]) -> None:
        if len(self.calls) < CALLS_KEPT:
            self.calls.append(request)
        self._fail_if_told_to()

    def _fail_if_told_to(self) -> None:
        if self.fail_with is not None:
            raise self.fail_with

    # ------------------------------------------------------------------------------------------------------------ tables

    def table(self, collection: Collection) -> Table:
        """Return the rows of a collection that are committed."""
        table = self._tables.get(collection.name)
        if table is None:
            table = self._tables[collection.name] = Table(collection)
        return table

    def _table(self, collection: Collection) -> Table:
        return self.table(collection)

    def _changing(self, collection: Collection) -> Table:
        raise StoreMisbehaved(f"store {self.name}: rows of {collection.name} are changed by a transaction alone")

    def dicts(self, name: str, where: Where | None) -> list[dict[str, Value]]:
        return self._tables[name].dicts(where) if name in self._tables else []

    def _dicts(self, name: str, where: Where | None) -> list[dict[str, Value]]:
        return self.dicts(name, where)
