"""Run a plan level by level: all that a level asks at the same time, the next level when all have answered. The only phase that awaits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from gateway.context import RequestContext
from gateway.engine.cost import Counting
from gateway.engine.plan import ROOT, Cost, Place, Plan
from gateway.engine.results import NONE, NOTHING_ANSWERED, Result, State
from gateway.engine.sources import KEPT, Bound, Call, Steps
from gateway.loaders import ask, ask_all
from gateway.security.limits import Limits, enforced
from gateway.stores.base import Row, UniqueKeys

USUAL_WIDTH = 10  # fields of an object

Step = tuple[Place, Steps, Any]  # whose turn it is, and what it asks


async def execute(
    plan: Plan,
    bounds: list[Bound],
    ctx: RequestContext,
    allowed: Cost,
    limits: Limits,
    *,
    given: Mapping[int, Any] = NONE,
    variables: Mapping[str, Any] = NONE,
    event: Any = None,
) -> State:
    """Return what the sources of ``plan`` answered; one that failed has its error in its Result, and nothing is raised.

    ``allowed`` is the cost of the operation, ``given`` values of the root's row by slot, ``variables`` what resolvers written by hand are
    told, ``event`` what a subscription's root field is made of. AnswerTooLongError where the answer gets too long.
    """
    run_ = Run(plan, bounds, ctx, limits, given, variables, event)
    steps: list[Step] = []
    if allowed.total <= 1 and not plan.is_unsized:
        # PERF: counting takes 3 µs of the 20 of a point look-up, where there is nothing to count
        for number, level in enumerate(plan.starts):
            steps = await run_.level(level, steps)
            if steps:
                steps = await run_.late(number, steps)
        run_.state.failed = run_.state.failed or ctx.has_wrong_values
        return run_.state
    counting = Counting(plan, allowed, limits, run_.state.root, run_.state.results)
    for number, level in enumerate(plan.starts):
        steps = await run_.level(level, steps)
        if steps:
            steps = await run_.late(number, steps)
        for place, error in counting.level(number):
            run_.fail(place, error)
    run_.state.failed = run_.state.failed or ctx.has_wrong_values
    run_.state.size = counting.size * max(plan.width, USUAL_WIDTH) // USUAL_WIDTH
    return run_.state


class Run:
    """One run: what sources ask by, and what they are told."""

    def __init__(
        self,
        plan: Plan,
        bounds: list[Bound],
        ctx: RequestContext,
        limits: Limits,
        given: Mapping[int, Any] = NONE,
        variables: Mapping[str, Any] = NONE,
        event: Any = None,
    ) -> None:
        root: list[Any] = [None] * len(plan.root_place.layout.columns)
        for place in plan.starts[0] if plan.starts else ():
            key = place.source.keys_at_root(bounds[place.index]) if place.source is not None else None
            if key is not KEPT:
                root[place.slot] = key
        for slot, value in given.items():
            root[slot] = value
        self.state = State(tuple(root), bounds, [NOTHING_ANSWERED] * len(plan.places))
        self.limits = limits
        self.variables = variables
        self.event = event
        self.ctx = ctx
        self._taken = 0  # rows of lists that have no size of their own
        self._edges = 0  # that were read
        self._root_rows: Sequence[Row] = (self.state.root,)

    async def level(self, places: Sequence[Place], waiting: Sequence[Step]) -> list[Step]:
        """Begin the steps of ``places`` and take the next of those that wait for their turn; return what waits after that."""
        asked = list(waiting)
        calls = False
        for place in places:
            source = place.source
            assert source is not None
            try:
                steps = source.steps(place, self)
                request = next(steps)
            except StopIteration as done:
                self.state.results[place.index] = done.value
            except Exception as exc:  # a batch function gave rows without what the next level is asked by
                self.fail(place, exc)
            else:
                calls = calls or isinstance(request, Call)
                asked.append((place, steps, request))
        if not asked:
            return []
        if calls:
            return await self._beside(asked)
        if len(asked) == 1:  # nobody to share with
            try:
                answer: Any = await self.ctx.ask(asked[0][2])
            except Exception as exc:
                answer = exc
            return self._answered(asked, (answer,))
        return self._answered(asked, await ask_all(self.ctx, [request for _, _, request in asked]))

    async def late(self, number: int, waiting: Sequence[Step]) -> list[Step]:
        """Let steps go on that ask once more than planned, until all rows of this round are there; return those whose turn is the next."""
        steps = list(waiting)
        while late := [step for step in steps if step[0].level <= number]:
            steps = [step for step in steps if step[0].level > number] + await self.level((), late)
        return steps

    async def _beside(self, asked: Sequence[Step]) -> list[Step]:
        # Batch functions ask through the request's loader, which joins what this level asks to what they do.
        begin = asyncio.get_running_loop().create_task
        waiting: list[asyncio.Future[Any]] = [begin(request.run(self.ctx)) for _, _, request in asked if isinstance(request, Call)]
        called = iter(list(waiting))
        futures = [next(called) if isinstance(request, Call) else ask(self.ctx, request) for _, _, request in asked]
        answers: list[Any] = []
        try:
            for future in futures:
                try:
                    answers.append(await future)
                except Exception as exc:
                    answers.append(exc)
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        return self._answered(asked, answers)

    def _answered(self, asked: Sequence[Step], answers: Sequence[Any]) -> list[Step]:
        waiting: list[Step] = []
        for (place, steps, _), answer in zip(asked, answers, strict=True):
            try:
                request = steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)
            except StopIteration as done:
                result: Result = done.value
                self.state.results[place.index] = result
                if result.error is not None:
                    self.state.failed = True
            except Exception as exc:
                self.fail(place, exc)
            else:
                waiting.append((place, steps, request))
        return waiting

    def fail(self, place: Place, error: Exception) -> None:
        self.state.results[place.index] = Result(error=error)
        self.state.failed = True

    # ----------------------------------------------------------------------------------------------------- for sources

    def bound(self, place: Place) -> Any:
        """Return a place's arguments, as its source bound them."""
        return self.state.bounds[place.index]

    def rows_above(self, place: Place) -> Sequence[Row]:
        """Return the rows of a place's parent."""
        return self._root_rows if place.parent == ROOT else self.state.results[place.parent].rows

    def keys(self, place: Place) -> UniqueKeys:
        """Return the unique keys in the parent's rows, in the order they first appear there; nulls are none."""
        unique = dict.fromkeys(map(itemgetter(place.slot), self.rows_above(place)))
        unique.pop(None, None)
        if place.below_objects or self.ctx.has_wrong_values:
            for key in [key for key in unique if isinstance(key, Exception)]:  # an attribute that could not be read, or a WrongValue
                self.something_failed()
                del unique[key]
        return UniqueKeys(unique)

    def put(self, place: Place, result: Result) -> None:
        """Give a place its rows that came with those of another."""
        self.state.results[place.index] = result
        if result.error is not None:
            self.state.failed = True

    def something_failed(self) -> None:
        """Say that an error or a null stands somewhere among a place's values."""
        self.state.failed = True

    def take(self, rows: int) -> None:
        """Count rows of a list that no argument limits, before anything is made of them; LimitExceeded when they are too many."""
        taken = self._taken + rows
        for error in enforced(self.limits.exceeded("RESULT_LIMIT", "The answer has", "objects_max", taken, "objects or more")):
            raise error
        self._taken = taken

    def take_edges(self, edges: int) -> None:
        """Count edges that were read, before their nodes are asked for; LimitExceeded when they are too many."""
        self._edges += edges
        for error in enforced(self.limits.exceeded("RESULT_LIMIT", "The request reads", "edges_max", self._edges, "edges or more")):
            raise error
