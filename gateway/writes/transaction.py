"""One transaction of one store, as authors of mutations have it: what it writes is told to the log in the same commit.

async with ctx.transaction("users") as tx:
    user = await tx.insert(users, {"id": ..., "name": ...})
    await tx.update(users, key, {"name": "Ada"}, expected_version=3)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.stores.base import A, Collection, Key, Request, Value
from gateway.writes.declarations import State


class Transaction:
    """What is asked of one store as one. Rows are mappings of all columns, as wire values; keys are text.

    Of managed collections each change has a version, an audit row, and rows of the outbox for the targets of its collection.
    """

    async def insert(self, collection: Collection, values: Mapping[str, Value], *, audited: bool = True) -> State:
        """Insert a row; the database gives the columns that are not given. Conflict where its key, or a unique value, is taken."""
        raise NotImplementedError

    async def insert_many(self, collection: Collection, rows: Sequence[Mapping[str, Value]]) -> Sequence[State]:
        """Insert rows of the same columns, in one call."""
        raise NotImplementedError

    async def update(
        self, collection: Collection, key: Key, values: Mapping[str, Value], *, expected_version: int | None = None
    ) -> State | None:
        """Set columns of a row and return it; None where there is none. Conflict where its version is not the expected one."""
        raise NotImplementedError

    async def delete(self, collection: Collection, key: Key, *, expected_version: int | None = None) -> State | None:
        """Delete a row and return what it was; None where there is none."""
        raise NotImplementedError

    async def get(self, collection: Collection, key: Key) -> State | None:
        """Return a row, which nobody else changes until the transaction ends."""
        raise NotImplementedError

    async def ask(self, request: Request[A]) -> A:
        """Return the answer to a request of the store. A change of a managed collection is told to the log, as above; a read sees it.

        StoreMisbehaved for a request of another store: one transaction is one store's; what belongs to others is delivered by the outbox.
        """
        raise NotImplementedError

    def deliver(self, target: str, collection: Collection, key: Key, payload: Any = None) -> None:
        """Have a follow-up run for the row of ``key``, which this transaction writes."""
        raise NotImplementedError
