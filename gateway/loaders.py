"""The request's dataloaders: what several places of one level ask of the same collection becomes one call.

Requests of the same collection, columns aside, with the same arguments share a call. The engine hands the batches of a level over at
once (``ask_all``). Who does not know what else is asked goes through aiodataloader, which joins what is asked in the same turn of the
loop, in two sorts:

- ``ask(ctx, request)``: a whole batch of keys is one item: one future per batch, none per key. Batch functions use it, and the engine
  on levels that have some.
- ``load(ctx, collection, key)``: one key is one item, for resolvers written by hand. Their keys end in the first sort.

aiodataloader costs about 5 µs per item, so the engine makes keys unique first and asks once per batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, TypeVar, cast

from aiodataloader import DataLoader

from gateway.context import RequestContext
from gateway.stores.base import Aggregate, Collection, Fetch, Get, Key, Match, NativeCall, Pairs, Row, Slice, UniqueKeys

_T = TypeVar("_T")

Ask = Get | Fetch | Aggregate | NativeCall


def end(ctx: RequestContext) -> None:
    """Cancel what the request still waits for, and forget its loaders. aiodataloader runs a batch on when nobody waits for it, and
    never ends a key's future when its batch is cancelled, so that both are ended here.

    PERF: loaders know their context, and their futures all rows. Left in each other's arms they wait for the garbage collector: the
    tree of the benchmarks over PostgreSQL took 2.6 ms of CPU instead of 1.7.
    """
    for task in tuple(ctx.tasks):
        task.cancel()
    for loader in ctx.memo.values():
        if isinstance(loader, _BatchLoader):
            loader.end()
        elif isinstance(loader, DataLoader):
            for future in loader._cache.values():
                future.cancel()
    ctx.memo.clear()


def ask(ctx: RequestContext, request: Ask) -> asyncio.Future[Any]:
    """Return a future of the answer of a store to ``request``; it may hold keys that others asked of the same call.

    Get: key to row. Fetch: parent to Slice. Aggregate and NativeCall: parent to rows. Rows have the columns asked, in that order.
    """
    loader = ctx.memo.get(_BatchLoader)
    if loader is None:
        loader = ctx.memo[_BatchLoader] = _BatchLoader(ctx)
    future: asyncio.Future[Any] = loader.load(request)
    future.add_done_callback(_seen)
    return future


async def load(ctx: RequestContext, collection: Collection, key: Key, *, column: str = "id") -> Row | None:
    """Return the row of ``key`` with all columns, None where there is none. Keys of one turn of the loop share one call."""
    memo_key = (_KeyLoader, collection, column)
    loader = ctx.memo.get(memo_key)
    if loader is None:
        loader = ctx.memo[memo_key] = _KeyLoader(ctx, collection, column)
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
    """One per request. Its items are whole batches, so nothing is cached under a key."""

    cache = False

    def get_cache_key(self, key: Ask) -> Any:
        return id(key)  # a batch is never hashed

    def __init__(self, ctx: RequestContext) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._ctx = ctx
        self._futures: list[asyncio.Future[Any]] = []

    def load(self, key: Ask) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = super().load(key)
        self._futures.append(future)
        return future

    def end(self) -> None:
        for future in self._futures:
            future.cancel()

    async def batch_load_fn(self, requests: list[Ask]) -> list[Any]:
        # aiodataloader runs a batch on when nobody waits for it any more; who ends the request ends its batches by this.
        task = asyncio.current_task()
        assert task is not None
        self._ctx.tasks.add(task)
        task.add_done_callback(self._ctx.tasks.discard)
        if len(requests) == 1:
            return [await run(self._ctx, requests[0])]
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
        shared.setdefault(_what(request), []).append(position)
    calls = [(_merge([requests[p] for p in positions]), positions) for positions in shared.values()]
    tasks = [asyncio.ensure_future(run(ctx, request)) for request, _ in calls[1:]]
    results: list[Any] = [None] * len(requests)
    try:
        for (request, positions), waiting in zip(calls, (run(ctx, calls[0][0]), *tasks), strict=True):
            try:
                answer: Any = await waiting
            except Exception as exc:
                answer = exc
            for position in positions:
                results[position] = answer if isinstance(answer, Exception) else _for(requests[position], request, answer)
    except BaseException:
        for task in tasks:
            task.cancel()
        raise
    return results


async def run(ctx: RequestContext, request: Ask) -> Any:
    """Return the answer of a store to ``request``, at once and alone: for a level that has nothing to share."""
    match request:
        case Get():
            return await ctx.get(request)
        case Fetch():
            return await ctx.fetch(request)
        case Aggregate():
            return await ctx.aggregate(request)
        case NativeCall():
            return await ctx.native(request)


def _what(request: Ask) -> Any:
    """Return what two requests must have in common to share a call: everything but keys and columns."""
    match request:
        case Get():
            return (Get, request.collection, request.column)
        case Fetch():
            match_ = request.match
            by = None if match_ is None else (type(match_), match_.column)
            # Pairs of two edges would mix under one parent: following and followers of one user are different pairs.
            own = id(request) if isinstance(match_, Pairs) else None
            return (Fetch, request.collection, by, own, request.where, request.order, request.page, request.count)
        case Aggregate():
            by_column = None if request.match is None else request.match.column
            return (Aggregate, request.collection, by_column, request.groups, request.measures, request.where)
        case NativeCall():
            return (NativeCall, request.native, frozen(request.arguments))


def frozen(arguments: Any) -> Any:
    """Return arguments as a key of a mapping: lists and objects inside of them are told apart by what they hold, 1 and true too."""
    if isinstance(arguments, Mapping):
        return (dict, *((name, frozen(arguments[name])) for name in sorted(arguments)))
    if isinstance(arguments, (list, tuple)):
        return (list, *map(frozen, arguments))
    return (type(arguments), arguments)


def _merge(requests: Sequence[Ask]) -> Ask:
    first = requests[0]
    if len(requests) == 1:
        return first
    if isinstance(first, Aggregate):
        if first.match is None:
            return first
        keys = _union(cast("Match", cast("Aggregate", request).match).keys for request in requests)
        return replace(first, match=Match(first.match.column, keys))
    if isinstance(first, NativeCall):
        return replace(first, keys=_union(cast("NativeCall", request).keys for request in requests))
    columns = tuple(_union(cast("Get | Fetch", request).columns for request in requests))
    if isinstance(first, Get):
        return replace(first, columns=columns, keys=_union(cast("Get", request).keys for request in requests))
    if isinstance(first.match, Match):
        keys = _union(cast("Match", cast("Fetch", request).match).keys for request in requests)
        return replace(first, columns=columns, match=Match(first.match.column, keys))
    return replace(first, columns=columns)


def _union(parts: Any) -> UniqueKeys:
    return UniqueKeys(dict.fromkeys([item for part in parts for item in part]))


def _for(request: Ask, merged: Ask, answer: Any) -> Any:
    """Return what of a shared call's answer belongs to ``request``: its columns in its order, and of groups its own parents'."""
    if merged is request or isinstance(request, NativeCall):
        return answer
    if isinstance(request, Aggregate):
        return answer if request.match is None else {key: answer[key] for key in request.match.keys if key in answer}
    if isinstance(request, Fetch) and isinstance(request.match, Match):
        answer = {key: answer[key] for key in request.match.keys if key in answer}
    if request.columns == cast("Get | Fetch", merged).columns:
        return answer
    positions = [cast("Get | Fetch", merged).columns.index(name) for name in request.columns]
    pick = itemgetter(*positions) if len(positions) > 1 else lambda row: (row[positions[0]],)
    if isinstance(request, Get):
        return {key: pick(row) for key, row in cast("Mapping[Key, Row]", answer).items()}
    return {key: Slice([pick(row) for row in part.rows], part.more, part.total) for key, part in answer.items()}
