"""The request's dataloaders: what several places of one level ask of the same collection becomes one call.

Requests of one ``share_key`` share a call: the same collection and arguments, whatever their keys and columns. The engine hands the
batches of a level over at once (``ask_all``). Who does not know what else is asked goes through aiodataloader, which joins what is asked
in the same turn of the loop, in two sorts:

- ``ask(ctx, request)``: a whole batch of keys is one item: one future per batch, none per key. Batch functions use it, and the engine
  on levels that have some.
- ``load(ctx, collection, key)``: one key is one item, for resolvers written by hand. Their keys end in the first sort.

aiodataloader costs about 5 µs per item, so the engine makes keys unique first and asks once per batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from aiodataloader import DataLoader

from gateway.context import RequestContext
from gateway.stores.base import Collection, Get, Key, Request, Row, frozen

__all__ = ["Ask", "ask", "ask_all", "end", "frozen", "load", "shared"]

_T = TypeVar("_T")

Ask = Request[Any]


def end(ctx: RequestContext) -> None:
    """Cancel what the request still waits for, and forget its loaders. aiodataloader runs a batch on when nobody waits for it, and
    never ends a key's future when its batch is cancelled, so that both are ended here.

    PERF: loaders know their context, and their futures all rows. Left in each other's arms they wait for the garbage collector: the
    tree of the benchmarks over PostgreSQL took 2.6 ms of CPU instead of 1.7.
    """
    for task in tuple(ctx.tasks):
        task.cancel()
    if ctx.batch_loader is not None:
        ctx.batch_loader.end()
        ctx.batch_loader = None
    for loader in ctx.key_loaders.values():
        for future in loader._cache.values():
            future.cancel()
    ctx.forget_reads()


def ask(ctx: RequestContext, request: Ask) -> asyncio.Future[Any]:
    """Return a future of the answer of a store to ``request``, which may share a call with others.

    Get: key to row. Fetch: parent to Slice. Aggregate and NativeCall: parent to rows. Rows have the columns asked, in that order.
    """
    if ctx.batch_loader is None:
        ctx.batch_loader = _BatchLoader(ctx)
    future: asyncio.Future[Any] = ctx.batch_loader.load(request)
    future.add_done_callback(_seen)
    return future


async def load(ctx: RequestContext, collection: Collection, key: Key, *, column: str = "id") -> Row | None:
    """Return the row of ``key`` with all columns, None where there is none. Keys of one turn of the loop share one call."""
    loader = ctx.key_loaders.get((collection, column))
    if loader is None:
        loader = ctx.key_loaders[collection, column] = _KeyLoader(ctx, collection, column)
    return cast("Row | None", await shared(loader.load(key)))


def shared(future: asyncio.Future[_T]) -> asyncio.Future[_T]:
    """Return a future that can be cancelled alone: several fields wait for one key, and graphql-core cancels the fields it nulls."""
    future.add_done_callback(_seen)
    return asyncio.shield(future)


def _seen(future: asyncio.Future[Any]) -> None:
    """Look at a future's error, so that one whose waiters were all cancelled is not reported as forgotten."""
    if not future.cancelled():
        future.exception()


class _BatchLoader(DataLoader[Ask, Any]):
    """One per request. Its items are whole batches, so nothing is cached under a key.

    PERF: it dispatches its queue in the same turn of the loop as aiodataloader does, by a task less and without a coroutine for each; the
    tree of the benchmarks takes 15 µs less.
    """

    cache = False

    def __init__(self, ctx: RequestContext) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._ctx = ctx
        self._asked: list[tuple[Ask, asyncio.Future[Any]]] = []
        self._futures: list[asyncio.Future[Any]] = []

    def load(self, key: Ask) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.loop.create_future()
        self._futures.append(future)
        if not self._asked:
            self.loop.call_soon(self.loop.call_soon, self._dispatch)
        self._asked.append((key, future))
        return future

    def end(self) -> None:
        self._asked = []
        for future in self._futures:
            future.cancel()

    def _dispatch(self) -> None:
        asked, self._asked = self._asked, []
        if not asked:  # the request has ended since
            return
        # A batch runs on when nobody waits for it any more; who ends the request ends its batches by this.
        tasks = self._ctx.tasks
        task = self.loop.create_task(self._answer(asked))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _answer(self, asked: Sequence[tuple[Ask, asyncio.Future[Any]]]) -> None:
        try:
            answers = await self.batch_load_fn([request for request, _ in asked])
        except Exception as exc:
            answers = [exc] * len(asked)
        for (_, future), answer in zip(asked, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def batch_load_fn(self, requests: list[Ask]) -> list[Any]:
        if len(requests) == 1:
            return [await self._ctx.ask(requests[0])]
        return await ask_all(self._ctx, requests)


class _KeyLoader(DataLoader[Key, "Row | None"]):
    def __init__(self, ctx: RequestContext, collection: Collection, column: str) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._ctx, self._collection, self._column = ctx, collection, column

    async def batch_load_fn(self, keys: list[Key]) -> list[Row | None]:
        rows = await ask(self._ctx, Get(self._collection, self._collection.names, keys, self._column))
        return [rows.get(key) for key in keys]


async def ask_all(ctx: RequestContext, requests: Sequence[Ask]) -> list[Any]:
    """Return the answers to ``requests``, as ``ask`` does, or the exceptions in their places; those that can share a call do.

    All calls run at the same time, the first one in this task: a task costs more than anything else that is done for a call here.
    """
    shared: dict[Any, list[int]] = {}
    for position, request in enumerate(requests):
        key = request.share_key()
        shared.setdefault(position if key is None else key, []).append(position)
    calls = [
        (requests[positions[0]] if len(positions) == 1 else requests[positions[0]].merged([requests[p] for p in positions[1:]]), positions)
        for positions in shared.values()
    ]
    tasks = []
    if len(calls) > 1:
        begin = asyncio.get_running_loop().create_task  # PERF: ensure_future looks at what it is given first, 1 µs a task
        tasks = [begin(_asked(ctx, request)) for request, _ in calls[1:]]
    results: list[Any] = [None] * len(requests)
    try:
        for (request, positions), task in zip(calls, (None, *tasks), strict=True):
            try:
                answer: Any = await (ctx.ask(request) if task is None else task)
            except Exception as exc:
                answer = exc
            for position in positions:
                own = requests[position]
                results[position] = answer if own is request or isinstance(answer, Exception) else own.part_of(answer, request)
    except BaseException:
        for task in tasks:
            task.cancel()
        raise
    return results


async def _asked(ctx: RequestContext, request: Ask) -> Any:
    """Return the answer of a store to ``request``; what a layer raises before there is anything to wait for is raised here, too."""
    return await ctx.ask(request)
