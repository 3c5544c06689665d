"""A change stream by which a process hears what others write: of the log's collection, over a client of its own.

Whoever writes need not tell anybody. There are none on a server that stands alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pymongo import errors

from gateway.errors import AbilityMissing
from gateway.stores.mongo.calls import Calls, now
from gateway.stores.mongo.migrations import KIND

ON_REPLICA_SETS_ALONE = 40573  # the server's code of a change stream that it does not have
AWAIT_MS = 1_000  # for which the server waits for something new before it says that there is nothing
_HEARD = ("insert", "replace", "update")


class Line:
    """Hears until ``is_lost``."""

    def __init__(self) -> None:
        self.is_lost = asyncio.Event()

    async def tell(self) -> None:
        """Do nothing: what was written is what others hear of."""


@asynccontextmanager
async def line_of(client: Any, calls: Calls, collections: Sequence[str], hear: Callable[[], None]) -> AsyncIterator[Line]:
    """Give a line on which ``hear`` is called for what is written to the collections. The client, which is closed, serves nothing else.

    AbilityMissing where the server has no change streams, StoreUnavailable where it does not answer.
    """
    matched = {"$match": {"ns.coll": {"$in": list(collections)}, "operationType": {"$in": list(_HEARD)}}}
    line = Line()
    try:
        with calls.translated(calls.timeout_s):
            try:
                stream = await now(calls.database().watch([matched, {"$project": {"_id": 1}}], max_await_time_ms=AWAIT_MS))
                await _first(stream)
            except errors.OperationFailure as error:
                if error.code == ON_REPLICA_SETS_ALONE:
                    raise AbilityMissing(
                        "a change stream", store=calls.name, kind=KIND, needs="tell what is written, as a replica set can"
                    ) from error
                raise
        task = asyncio.create_task(_hear(stream, line, hear), name=f"changes of {calls.name}")
        try:
            yield line
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await now(stream.close())
    finally:
        await now(client.close())


async def _first(stream: Any) -> None:
    """Open a stream that opens with its first look, as Motor's does."""
    await now(stream.try_next())


async def _hear(stream: Any, line: Line, hear: Callable[[], None]) -> None:
    try:
        while True:
            if await now(stream.try_next()) is not None:
                hear()
    except errors.PyMongoError:
        pass
    finally:
        line.is_lost.set()
