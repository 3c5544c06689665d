"""Run a plan level by level: every batch of a level at the same time, the next level when all have answered. The only phase that awaits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from types import NoneType
from typing import Any, cast

from gateway.context import RequestContext
from gateway.engine.cost import Counting
from gateway.engine.plan import ROOT, Cost, Place, Plan
from gateway.engine.results import NOTHING_ANSWERED, Result, State, is_row
from gateway.engine.values import NOTHING, Bound
from gateway.errors import BatchMismatch
from gateway.fields import Batched, Each, Lookup, Many, One, Stats
from gateway.loaders import Ask, ask, ask_all, run
from gateway.security.limits import Limits, enforced
from gateway.stores.base import Aggregate, Bucket, Fetch, Get, Key, Match, Measure, Page, Pairs, Row, Slice, UniqueKeys

_MEASURES = {"count": Measure("count"), "first_at": Measure("min"), "last_at": Measure("max")}
_NO_ROWS = Page(0)

USUAL_WIDTH = 10  # fields of an object


async def execute(plan: Plan, bounds: list[Bound], ctx: RequestContext, allowed: Cost, limits: Limits, given: Mapping[int, Any]) -> State:
    """Return what the batches of ``plan`` answered; a batch that failed is in its Result, never raised.

    ``allowed`` is the cost of the operation, ``given`` values of the root's row by slot. LimitExceeded where the answer gets too long.
    """
    run_ = _Run(plan, bounds, ctx, limits, given)
    if (
        allowed.total <= 1 and not plan.is_unsized
    ):  # PERF: counting takes 3 µs of the 20 of a point look-up, where there is nothing to count
        for level in plan.levels:
            await run_.level(level)
        return run_.state
    counting = Counting(plan, allowed, limits, run_.state.root, run_.state.results)
    for number, level in enumerate(plan.levels):
        await run_.level(level)
        for place, error in counting.level(number):
            run_.fail(place, error)
    run_.state.size = counting.size * max(plan.width, USUAL_WIDTH) // USUAL_WIDTH
    return run_.state


class _Run:
    def __init__(self, plan: Plan, bounds: list[Bound], ctx: RequestContext, limits: Limits, given: Mapping[int, Any]) -> None:
        root: list[Any] = [None] * len(plan.root_place.layout)
        for place in plan.levels[0] if plan.levels else ():
            if place.node_type is None:
                root[place.slot] = bounds[place.index].key
        for slot, value in given.items():
            root[slot] = value
        self.state = State(tuple(root), bounds, [NOTHING_ANSWERED] * len(plan.places))
        self._ctx = ctx
        self._limits = limits
        self._taken = 0  # rows of lists that have no size of their own
        self._root_rows: Sequence[Row] = (self.state.root,)

    async def level(self, places: Sequence[Place]) -> None:
        asked: list[tuple[Place, Any, Ask]] = []
        called: list[tuple[Place, Sequence[Key], Awaitable[Sequence[Any]]]] = []
        for place in places:
            source = place.source
            try:
                if isinstance(source, Batched):
                    keys = self._keys(place)
                    if keys:
                        arguments = self.state.bounds[place.index].arguments or {}
                        called.append((place, keys, self._call(source, keys, arguments)))
                else:
                    about, request = self._request(place)
                    if request is not None:
                        asked.append((place, about, request))
            except Exception as exc:  # a batch function gave rows without what the next level is asked by
                self.fail(place, exc)
        if not called:
            await self._ask(asked)
            return
        # Batch functions ask through the request's loader, which joins what this level asks to what they do.
        waiting: list[tuple[Place, Any, asyncio.Future[Any]]]
        waiting = [(place, keys, asyncio.ensure_future(call)) for place, keys, call in called]
        waiting += [(place, keys, ask(self._ctx, request)) for place, keys, request in asked]
        try:
            for place, keys, future in waiting:
                await self._await(place, keys, future)
        except BaseException:
            for _, _, future in waiting:
                future.cancel()
            raise

    async def _ask(self, asked: Sequence[tuple[Place, Any, Ask]]) -> None:
        if len(asked) == 1:
            place, about, request = asked[0]
            await self._await(place, about, run(self._ctx, request))
        elif asked:
            answers = await ask_all(self._ctx, [request for _, _, request in asked])
            for (place, about, _), answer in zip(asked, answers, strict=True):
                self._answered(place, about, answer)

    async def _call(self, source: Batched, keys: Sequence[Key], arguments: Mapping[str, Any]) -> Sequence[Any]:
        return await source.function(self._ctx, keys, **arguments)  # one that raises before it awaits fails as any other

    async def _await(self, place: Place, keys: Any, waiting: Awaitable[Any]) -> None:
        try:
            answer = await waiting
        except Exception as exc:
            answer = exc
        self._answered(place, keys, answer)

    def _answered(self, place: Place, keys: Any, answer: Any) -> None:
        try:
            if isinstance(answer, Exception):
                raise answer
            self.state.results[place.index] = self._result(place, keys, answer)
        except Exception as exc:
            self.fail(place, exc)

    def fail(self, place: Place, error: Exception) -> None:
        self.state.results[place.index] = Result(error=error)
        self.state.failed = True

    # ----------------------------------------------------------------------------------------------------------- asking

    def _rows(self, place: Place) -> Sequence[Row]:
        return self._root_rows if place.parent == ROOT else self.state.results[place.parent].rows

    def _keys(self, place: Place) -> UniqueKeys:
        """Return the unique keys in the parent's rows, in the order they first appear there."""
        unique = dict.fromkeys(map(itemgetter(place.slot), self._rows(place)))
        unique.pop(None, None)
        return UniqueKeys(unique)

    def _request(self, place: Place) -> tuple[Any, Ask | None]:
        bound = self.state.bounds[place.index]
        source = place.source
        match source:
            case One():
                keys = self._keys(place) if place.node_type is None else self._node_keys(place)
                return keys, Get(source.collection, tuple(place.layout), keys, source.collection.key[0]) if keys else None
            case Each():
                slot = place.slot
                keys = UniqueKeys(dict.fromkeys([key for row in self._rows(place) for key in row[slot] or ()]))
                return keys, Get(source.collection, tuple(place.layout), keys, source.collection.key[0]) if keys else None
            case Lookup():
                return [bound.key], Get(source.collection, tuple(place.layout), (bound.key,), bound.column)
            case Many():
                return self._many(place, source, bound)
            case Stats():
                return self._stats(place, source, bound)
        return None, None

    def _node_keys(self, place: Place) -> UniqueKeys:
        ids = self.state.root[place.slot]
        prefix = f"{place.node_type}:"
        found = (text[len(prefix) :] for text in ((ids,) if isinstance(ids, str) else ids) if text.startswith(prefix))
        return UniqueKeys(dict.fromkeys(found))

    def _many(self, place: Place, source: Many, bound: Bound) -> tuple[Any, Ask | None]:
        match: Match | Pairs | None = None
        if place.edges is not None:
            assert source.through is not None
            groups = self.state.results[place.edges.index].groups
            pairs = [(parent, row[place.edges.layout.index(source.through.node)]) for parent, part in groups.items() for row in part.rows]
            if not pairs:
                return None, None
            match = Pairs(source.collection.key[0], pairs)
        elif source.by is not None:
            keys = self._keys(place)
            if not keys:
                return None, None
            match = Match(source.by, keys)
        if bound is NOTHING:  # the edges of Through: all of them
            return None, Fetch(source.collection, tuple(place.layout), match)
        columns = place.layout
        if place.cursors:
            columns = [*columns, *(o.column for o in bound.order if o.column not in columns)]
        page = bound.page if place.rows_wanted else _NO_ROWS
        return None, Fetch(source.collection, tuple(columns), match, bound.where, bound.order, page, place.count)

    def _stats(self, place: Place, source: Stats, bound: Bound) -> tuple[Any, Ask | None]:
        match = None
        if source.by is not None:
            keys = self._keys(place)
            if not keys:
                return None, None
            match = Match(source.by, keys)
        # Without groups a row exists only where something matched, which takes a measure to find out.
        names = [name for name in _MEASURES if name in place.layout] or ["count"]
        measures = tuple(Measure(m.function, None if m.function == "count" else source.time) for m in map(_MEASURES.__getitem__, names))
        return names, Aggregate(source.collection, bound.groups, measures, match, bound.where, self._limits.objects_max + 1)

    # -------------------------------------------------------------------------------------------------------- answering

    def _result(self, place: Place, keys: Any, answer: Any) -> Result:
        match place.source:
            case One() | Each() | Lookup():
                found = answer if len(answer) == len(keys) else {key: answer[key] for key in keys if key in answer}
                names: Iterable[Any] = found if place.node_type is None else (f"{place.node_type}:{key}" for key in found)
                return Result(rows=list(found.values()), keys=list(names))
            case Many():
                groups: Mapping[Any, Slice] = answer
                if len(groups) == 1:
                    return Result(rows=next(iter(groups.values())).rows, groups=groups)
                return Result(rows=[row for part in groups.values() for row in part.rows], groups=groups)
            case Stats():
                return self._stats_result(place, keys, answer)
        return self._batched_result(place, cast("Batched", place.source), keys, answer)

    def _stats_result(self, place: Place, names: Sequence[str], groups: Mapping[Any, Sequence[Row]]) -> Result:
        bound = self.state.bounds[place.index]
        self._take(sum(map(len, groups.values())))
        found = ["day" if isinstance(group, Bucket) else group for group in bound.groups] + list(names)
        positions = [found.index(name) if name in found else None for name in place.layout]
        if positions != list(range(len(found))):
            if None not in positions and len(positions) > 1:
                pick: Callable[[Row], Row] = itemgetter(*cast("list[int]", positions))
            else:

                def pick(row: Row) -> Row:
                    return tuple([None if position is None else row[position] for position in positions])

            groups = {key: list(map(pick, rows)) for key, rows in groups.items()}
        return Result(rows=[row for rows in groups.values() for row in rows], groups=groups)

    def _take(self, rows: int) -> None:
        """Count rows of a list that no argument limits, before anything is made of them; LimitExceeded when they are too many."""
        taken = self._taken + rows
        for error in enforced(self._limits.exceeded("RESULT_LIMIT", "The answer has", "objects_max", taken, "objects or more")):
            raise error
        self._taken = taken

    def _batched_result(self, place: Place, source: Batched, keys: Sequence[Key], answer: Sequence[Any]) -> Result:
        if len(answer) != len(keys):
            raise BatchMismatch(source.name, results=len(answer), keys=len(keys))
        values = dict(zip(keys, answer, strict=True))
        odd = _kinds_besides_values(answer)
        if any(kind is not NoneType for kind in odd):
            self.state.failed = True
        if not source.columns:
            return Result(values=values)
        found = {key: value for key, value in values.items() if is_row(value)} if odd else values
        if not place.lists:
            return Result(rows=list(found.values()), keys=list(found), values=values)
        self._take(sum(map(len, found.values())))
        rows = [row for part in found.values() for row in part]
        if _kinds_besides_values(rows):
            self.state.failed = True
            rows = [row for row in rows if is_row(row)]
        return Result(rows=rows, groups=found, values=values)


def _kinds_besides_values(values: Iterable[Any]) -> list[type]:
    """Return the types of the nulls and errors among values."""
    return [kind for kind in set(map(type, values)) if kind is NoneType or issubclass(kind, Exception)]
