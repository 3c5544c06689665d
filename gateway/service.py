"""One request from text to response, without HTTP. Read this first: it calls the phases in their order.

    document -> plan -> values -> cost -> execute -> complete -> respond

Of a subscription the phases from execute on are those of each event.

What takes long without waiting for anything (large answers, introspection) is done in a thread beside the loop, so that others are served
meanwhile. Longer than 400 lines: the whole way of a request is read in one place, and its steps share the caches, threads and counts of one
service.
"""

from __future__ import annotations

import gc
import logging
import time
from asyncio import AbstractEventLoop, Lock, get_running_loop
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, cast

import orjson
from graphql import GraphQLError, GraphQLSchema, OperationType, is_object_type

from gateway.context import NO_VALUES, RequestContext, StoreCall
from gateway.deadlines import Deadlines
from gateway.engine.code import SecondWalk
from gateway.engine.complete import Prepared, complete, complete_with_nulls
from gateway.engine.cost import FEW, AnswerTooLongError, cost, result_limit
from gateway.engine.document import Document, DocumentRefused, Documents, Openness, Operation
from gateway.engine.execute import Run, execute
from gateway.engine.explain import describe, describe_calls
from gateway.engine.introspection import introspect
from gateway.engine.names import Names
from gateway.engine.plan import ROOT, Cost, Plan
from gateway.engine.planner import Planner, switches_of
from gateway.engine.respond import MAX_ERRORS, respond, shown
from gateway.engine.results import NONE, State
from gateway.engine.sources import Bound, Happened, Streaming, source_of
from gateway.engine.values import Binder
from gateway.engine.variables import Variables
from gateway.errors import (
    BadUserInput,
    Bug,
    CallerError,
    DeadlineExceeded,
    Forbidden,
    GatewayError,
    LimitExceeded,
    MethodNotAllowed,
    bounded,
)
from gateway.graph.fields import Graph
from gateway.graph.scalars import mask_scalars
from gateway.loaders import end
from gateway.observability.accounts import Account
from gateway.observability.metrics import Histogram, Reading
from gateway.often import made_often
from gateway.security.limits import MEASURE_FACTOR, Limits, are_short, check_variables, enforced, values_in
from gateway.stores import Stores
from gateway.stores.routing import Freshness
from gateway.stores.tokens import Tokens
from gateway.writes.feed import Feed

IDEMPOTENCY_KEY_MAX = 255  # characters
KEY_EXTENSION = "idempotencyKey"  # of a request
PLANS_PER_DOCUMENT = 64  # operations times combinations of @skip/@include variables
FEW_NULLS = 500  # objects of an answer that is walked object by object, as something failed, without leaving the loop
# PERF: what is forgotten of the cache counts against what is new, so that by itself the collector comes when 200,000 new objects are there,
# and holds the loop for 90 ms. After so many tokens it looks at the plans that were made of them, in 5 to 15 ms (``make bench-hostile``).
YOUNG_TOKENS = 4_000
FEW_VALUES = 500  # in the variables of a request, which are checked and coerced without leaving the loop
FEW_TOKENS = 300  # of a new document that is read and planned in one go
GRACE_S = 0.2  # how much later than its deadline the answer to an event is cut
CODES_MOST = 100  # of errors, in metrics: an author's own may be any
CODE_MAX = 60  # characters of one
FEW_PLACES = 40  # of a plan that is compiled without leaving the loop

# PERF: what plans weigh in the cache, from tracemalloc over plans of 1 to 300 places (python -m tests.benchmarks.caches).
PLAN_BYTES = 4_000
BYTES_PER_PLACE = 4_500
BYTES_PER_FIELD = 400

NO_ERRORS: Sequence[GraphQLError] = ()
# PERF: an attribute of an Enum is looked up by its metaclass, 0.05 µs, and a request asks five times.
QUERY, MUTATION, SUBSCRIPTION = OperationType.QUERY, OperationType.MUTATION, OperationType.SUBSCRIPTION

_T = TypeVar("_T")

_log = logging.getLogger("gateway.service")


@made_often
@dataclass(frozen=True, slots=True)
class Request:
    """One GraphQL request, already decoded."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None
    extensions: dict[str, Any] | None = None
    mutation_allowed: bool = True  # not by GET
    explain: str | None = None  # "plan" or "trace"
    idempotency_key: str | None = None  # of a mutation; a query has no use for one


@dataclass(slots=True)
class Response:
    """``status`` is HTTP's: 200 where there is data, also in part; 4xx and 5xx where the request was refused.

    ``partial``: the answer has data and errors. With a status of 422 the data is null, since the answer would have been too long.
    ``retry_after_s``: when the same request may be sent again, where its error says that; else 0.

    Never changed. PERF: not frozen, since to make a frozen one takes 0.7 µs more.
    """

    body: bytes
    status: int
    partial: bool = False
    retry_after_s: int = 0
    cursor: str | None = None  # of a subscription's event
    codes: tuple[str, ...] = ()  # of its errors

    @property
    def is_refused(self) -> bool:
        """Whether it has errors alone, and nothing was run."""
        return self.status != 200 and not self.partial


@dataclass(frozen=True, slots=True)
class Opening:
    """What the stream of a subscription is opened by."""

    run: Run
    feed: Feed | None
    after: str | None


class _Counts:
    """What services of one graph count together, and whose turn it is with what they share."""

    __slots__ = ("plan_hits", "plan_misses", "planned_tokens", "reading", "second_walks", "subscriptions")

    def __init__(self) -> None:
        self.plan_hits = self.plan_misses = 0
        self.planned_tokens = 0  # since the garbage collector looked at the youngest
        self.second_walks = 0  # answers with something missing in them
        self.subscriptions = 0  # that are open
        self.reading: tuple[AbstractEventLoop | None, Lock] = (None, Lock())  # whose turn it is to read a new document


class Service:
    """Answers requests over one graph and its stores. Holds no request's state.

    ``queries_only`` is why nothing but a query is answered; None: all is.
    """

    queries_only: str | None = None
    tenant: str | None = None  # whose stores they are

    def __init__(
        self,
        graph: Graph,
        stores: Stores,
        limits: Limits | None = None,
        *,
        documents: int = 1_000,
        documents_bytes: int = 16 * 1024 * 1024,
        openness: Openness | None = None,
        may_explain: bool = True,
        feed: Feed | None = None,
    ) -> None:
        self.graph = graph
        self.stores = stores
        schema = graph.schema._schema  # Strawberry's way to graphql-core's schema
        mask_scalars(schema)
        collections = {name: collection for collection in graph.collections if (name := collection.type_name) is not None}
        self.limits = limits or Limits()
        self.openness = openness or Openness()
        self.binder = Binder(frozenset(collections), self.limits, Names(schema), tells_types=self.openness.type_names)
        self.documents = Documents(
            schema,
            self.limits,
            openness=self.openness,
            uncounted=_edges_of_connections(schema),
            size=documents,
            limit_bytes=documents_bytes,
        )
        self.planner = Planner(schema, collections, self.binder)
        self._counts = _Counts()
        self.limits_broken: Counter[tuple[str, str]] = Counter()  # by code and what came of it
        self.errors: Counter[str] = Counter()  # in answers, by code
        self.durations = {word: Histogram() for word in (*(type_.value for type_ in OperationType), "none")}
        # One at a time: they would share the interpreter anyway. Answers in which something failed are slower; they wait for each other.
        self._beside = ThreadPoolExecutor(1, "gateway-beside")
        self._mending = ThreadPoolExecutor(1, "gateway-mending")
        self._may_explain = may_explain
        self.replication = graph.writes
        self._schema = schema
        self._feed = feed
        self.tokens = stores.tokens  # None where no store has replicas
        self._deadlines = Deadlines()

    def over(self, stores: Stores, feed: Feed | None = None, *, queries_only: str | None = None, tenant: str | None = None) -> Service:
        """Return a service of the same graph over other stores. Documents, plans, threads and counts, which hold no row, are of both."""
        other = copy(self)
        other.stores, other.tokens, other._feed, other.queries_only = stores, stores.tokens, feed, queries_only
        other.tenant = tenant
        return other

    @property
    def plan_hits(self) -> int:
        return self._counts.plan_hits

    @property
    def plan_misses(self) -> int:
        return self._counts.plan_misses

    @property
    def second_walks(self) -> int:
        return self._counts.second_walks

    @property
    def subscriptions(self) -> int:
        return self._counts.subscriptions

    async def answer(
        self,
        request: Request,
        *,
        request_id: str = "",
        deadline_s: float | None = None,
        values: Mapping[str, Any] = NO_VALUES,
        started: float | None = None,
        written: list[str] | None = None,
        freshness: Freshness | None = None,
        account: Account | None = None,
    ) -> Response:
        """Return the response to a request. Never raises, but for a cancellation.

        ``values`` are those of its context. ``started`` is when its deadline began, on the clock of ``time.monotonic``; now, without.
        ``written`` gets the root fields that have written, for who cancels it, ``account`` what is counted of it, and ``freshness`` the
        stores: what its client has to see is in it.
        """
        now = time.monotonic() if started is None else started
        deadline = None if deadline_s is None else now + deadline_s
        trace: list[StoreCall] | None = [] if request.explain == "trace" else None
        # PERF: by position, as names take a dictionary for a class: 0.3 µs.
        ctx = RequestContext(self.stores, request_id, deadline, trace, now, values, self.replication, written, account)
        if self.tokens is not None:
            ctx.freshness = self._freshness(self.tokens, freshness, request)
        try:
            answered: Any = await self._answer(request, ctx)
        except Exception as exc:
            await self._tell_written(ctx)
            answered = self._failed(exc, request_id, ctx.written)
        finally:
            if ctx.has_loaders:
                end(ctx)
            operation = ctx.account.operation
            self.durations["none" if operation is None else operation.word].observe(time.monotonic() - now)
        response: Response = answered
        return response

    async def subscribe(
        self,
        request: Request,
        *,
        request_id: str = "",
        deadline_s: float | None = None,
        values: Mapping[str, Any] = NO_VALUES,
        started: float | None = None,
        written: list[str] | None = None,
        freshness: Freshness | None = None,
        account: Account | None = None,
    ) -> Response | AsyncGenerator[Response, None]:
        """Return the responses to the events of a subscription; what is none of one, or is refused, has its one response. Never raises.

        Each event has a context of its own: its deadline, its loaders, the values of who asks. One that fails is a response with its
        errors, and the next follows. ``extensions.cursor`` of the request is that of the last event that was seen, in every payload:
        the events after it follow. Where the stream itself fails, the last response has its error alone. ``aclose`` ends it.
        """
        now = time.monotonic() if started is None else started
        deadline = None if deadline_s is None else now + deadline_s
        ctx = RequestContext(
            self.stores, request_id, deadline, started=now, values=values, replication=self.replication, written=written, account=account
        )
        if self.tokens is not None:
            ctx.freshness = self._freshness(self.tokens, freshness, request)
            ctx.freshness.in_payload = True
        try:
            answered = await self._answer(request, ctx, deadline_s, may_stream=True)
        except Exception as exc:
            answered = self._failed(exc, request_id, ctx.written)
        if ctx.has_loaders:
            end(ctx)
        if isinstance(answered, Response):
            operation = ctx.account.operation
            self.durations["none" if operation is None else operation.word].observe(time.monotonic() - now)
        return answered

    def refuse(self, error: GatewayError, committed: Sequence[str] = ()) -> Response:
        """Return the response of a request that is not run at all, or not to its end: ``committed`` says what it has written."""
        shown = error.shown if not isinstance(error, Bug) else {"message": "Internal server error.", "extensions": error.extensions}
        refused = self._refused([shown], error.http_status, committed)
        seconds = error.extensions.get("retryAfter", 0)
        return replace(refused, retry_after_s=seconds) if seconds else refused

    def readings(self) -> Iterator[Reading]:
        """Give what was counted since the start."""
        for word, durations in self.durations.items():
            told = "Seconds from an operation's turn to its answer; of type none: refused before that was known."
            yield Reading("operation_duration_seconds", told, 0, {"type": word}, histogram=durations)
        for code, count in self.errors.items():
            yield Reading("errors", "Errors in answers.", count, {"code": code})
        yield Reading("subscriptions", "Subscriptions that are open.", self.subscriptions, is_counter=False)
        yield Reading("second_walks", "Answers that took a second walk to place nulls and errors.", self.second_walks)
        for result, count in (("hit", self.plan_hits), ("miss", self.plan_misses)):
            yield Reading("plans", "Look-ups of plans in their cache.", count, {"result": result})
        for name, count in self.documents.counts().items():
            is_size = name in ("documents", "bytes", "broken")
            name = f"document_cache_{name}" if not is_size else f"document_cache_size_{name}"
            yield Reading(name, "The cache of parsed documents.", count, is_counter=not is_size)
        for (code, result), count in self.limits_broken.items():
            yield Reading("limits_broken", "Limits that requests were beyond.", count, {"code": code, "result": result})
        for key, count in self.stores.calls.items():
            store, _, collection = key.partition(".")
            yield Reading("store_calls", "Calls that reached a store.", count, {"store": store, "collection": collection})
        for store, watch in self.stores.funnel.watches.items():
            yield Reading("store_call_duration_seconds", "Seconds of calls to a store.", 0, {"store": store}, histogram=watch.durations)
            yield Reading("store_slow_calls", "Calls to a store beyond the setting slow_query_ms.", watch.slow, {"store": store})
        for (store, collection, column), count in self.stores.wrong_values.items():
            labels = {"store": store, "collection": collection, "column": column}
            yield Reading("wrong_values", "Values read from a store that are not of their column's type.", count, labels)

    # ----------------------------------------------------------------------------------------------------------- phases

    async def _answer(
        self, request: Request, ctx: RequestContext, deadline_s: float | None = None, *, may_stream: bool = False
    ) -> Response | AsyncGenerator[Response, None]:
        many = False
        if request.variables and not are_short(self.limits, request.variables):
            many = values_in(request.variables, FEW_VALUES) > FEW_VALUES
            check = partial(check_variables, self.limits, request.variables)
            if broken := await self._aside(check) if many else check():
                self._hold(broken, ctx)
        account = ctx.account
        document = self.documents.kept(request.query)
        if document is None:
            account.document_hit = False
            await self._turn()
            document = self.documents.get(request.query)
            if document.tokens > FEW_TOKENS:
                await self._turn()  # to plan it
        if document.noted:
            self._note(document.noted, ctx)
        account.document = document
        operation = account.operation = document.operation(request.operation_name)
        is_query = operation.type is QUERY
        if not is_query:
            self._check_type(operation, request, may_stream=may_stream)
        if many:
            coerced = await self._aside(self._variables, document, operation, request.variables)
            await self._turn()  # to bind them
        else:
            coerced = self._variables(document, operation, request.variables)
        counts = self._counts
        misses = counts.plan_misses
        prepared = self._plan(document, operation, coerced)
        account.plan_hit = counts.plan_misses == misses
        plan = prepared.plan
        if request.explain is not None:
            if not self._may_explain:
                raise Forbidden("X-Gateway-Explain is not allowed here (setting environment).")
            ctx.plan = plan
        if is_query:
            ctx.may_be_stale = True
        elif operation.type is MUTATION:
            ctx.is_mutation = True
            ctx.idempotency_key = _idempotency_key(request, plan)
        if plan.series:
            bounds = [self._bind(part, coerced, ctx) for part in plan.series]
            costs = [
                part.cost or cost(part.places, bound, self.limits.page_default) for part, bound in zip(plan.series, bounds, strict=True)
            ]
            total = sum(part.total for part in costs)
        else:
            bounds = [self._bind(plan, coerced, ctx)]
            costs = [plan.cost or cost(plan.places, bounds[0], self.limits.page_default)]
            total = costs[0].total
        if total > self.limits.cost_max:
            self._hold(self.limits.exceeded("COST_LIMIT", "By its page sizes the operation has", "cost_max", total, "objects"), ctx)
        if ctx.freshness is not None:
            ctx.freshness.may_lag = is_query
        ctx.check()
        if prepared.waits:
            await self._compile(prepared)
        if operation.type is SUBSCRIPTION:
            return self._subscribed(prepared, bounds[0], costs[0], coerced, request, ctx, deadline_s)
        given: Mapping[int, Any] = NONE
        if plan.introspected:
            given = await self._aside(introspect, self._schema, document, operation, plan, request.variables or {}, self.limits)
        if plan.series:
            return await self._series(prepared, bounds, costs, coerced, ctx)
        state = await execute(plan, bounds[0], ctx, costs[0], self.limits, given=given, variables=coerced)
        if ctx.freshness is not None:
            await self._tell_written(ctx)
        if state.size > FEW:  # in one piece, so that no more than one large answer stands there as objects
            return await self._aside(self._finished, prepared, state, ctx, thread=self._mending if state.failed else self._beside)
        try:  # PERF: ``_completed`` in line, a coroutine less
            data, errors = complete(prepared, state), NO_ERRORS
        except SecondWalk:
            data, errors = await self._mended(prepared, state)
        return self._response(data, errors, ctx, ((prepared, state),))

    def _check_type(self, operation: Operation, request: Request, *, may_stream: bool) -> None:
        if self.queries_only is not None:
            raise Forbidden(self.queries_only)
        if operation.type is MUTATION and not request.mutation_allowed:
            raise MethodNotAllowed("A mutation needs POST.")
        if operation.type is SUBSCRIPTION and not may_stream:
            raise MethodNotAllowed("A subscription needs a stream.")

    def _subscribed(
        self,
        prepared: Prepared,
        bounds: list[Bound],
        allowed: Cost,
        variables: Mapping[str, Any],
        request: Request,
        ctx: RequestContext,
        deadline_s: float | None,
    ) -> AsyncGenerator[Response, None]:
        """Open the stream of a subscription's root field (GraphQL spec 6.2.3.1, CreateSourceEventStream())."""
        plan = prepared.plan
        if not plan.places:
            raise BadUserInput("A subscription has one root field, and this one's is left out by @skip or @include.")
        after = (request.extensions or {}).get("cursor")
        if after is not None and not isinstance(after, str):
            raise BadUserInput("extensions.cursor: expected the cursor of an event, a text", argument="extensions.cursor")
        place = plan.places[0]
        assert isinstance(place.source, Streaming), "held by the checks"
        run = Run(plan, bounds, ctx, self.limits, variables=variables)
        events = place.source.open(place, Opening(run, self._feed, after))

        async def respond_to(happened: Happened) -> Response:
            now = time.monotonic()
            deadline = None if deadline_s is None else now + deadline_s
            its = RequestContext(
                self.stores,
                ctx.request_id,
                deadline,
                started=now,
                values=ctx.values,
                replication=self.replication,
                account=ctx.account,
            )
            its.cursor = happened.cursor
            try:
                with self._deadlines.within((deadline_s or 0) + GRACE_S) if deadline_s is not None else nullcontext():
                    state = await execute(plan, bounds, its, allowed, self.limits, variables=variables, event=happened.value)
                    data, errors = await self._completed(prepared, state)
                return self._response(data, errors, its, [(prepared, state)])
            except TimeoutError:
                return self._of_event(self.refuse(DeadlineExceeded(deadline_s or 0)), its.cursor)
            except Exception as exc:
                return self._of_event(self._failed(exc, ctx.request_id), its.cursor)
            finally:
                if its.has_loaders:
                    end(its)

        return self._responses(events, respond_to, ctx.request_id)

    async def _responses(
        self, events: AsyncIterator[Happened], respond_to: Callable[[Happened], Awaitable[Response]], request_id: str
    ) -> AsyncGenerator[Response, None]:
        self._counts.subscriptions += 1
        try:
            async for happened in events:
                yield await respond_to(happened)
        except Exception as exc:
            failed = self._failed(exc, request_id)
            is_told = isinstance(exc, GatewayError) and not isinstance(exc, Bug)
            yield failed if is_told else self._of_event(failed)  # code of the author's has raised: an error of the field
        finally:
            self._counts.subscriptions -= 1
            await cast("AsyncGenerator[Happened, None]", events).aclose()

    def _of_event(self, failed: Response, cursor: str | None = None) -> Response:
        """Return the response to an event that could not be answered, which does not end the stream: with no data, and its cursor."""
        answer = {"data": None, **orjson.loads(failed.body)}
        if cursor is not None:
            answer["extensions"] = {"cursor": cursor}
        return Response(orjson.dumps(answer), 200, partial=True, cursor=cursor, codes=failed.codes)

    def _variables(self, document: Document, operation: Operation, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
        variables: Variables | None = document.variables.get(operation.name)
        if variables is None:
            node = document.nodes.operations[operation.name]
            variables = document.variables[operation.name] = Variables(self._schema, node, self.openness)
        return variables.coerce(given)

    def _plan(self, document: Document, operation: Operation, coerced: Mapping[str, Any]) -> Prepared:
        """Return the plan; one dictionary look-up after the first time."""
        plans = document.plans
        names = document.switches
        if names is None:
            names = document.switches = switches_of(document)
        on = tuple([coerced.get(name) for name in names]) if names else ()
        key = (operation.name, on) if names else operation.name
        prepared: Prepared | None = plans.get(key)
        if prepared is not None:
            self._counts.plan_hits += 1
            return prepared
        self._counts.plan_misses += 1
        plan = self.planner.plan(document, operation, dict(zip(names, on, strict=True)))
        if len(plans) > PLANS_PER_DOCUMENT:
            plans.clear()
        prepared = plans[key] = Prepared(plan)
        self.documents.grow(document, weight_of_plan(plan))
        if not plan.keeps_nodes:
            self.documents.forget_nodes(document)
        self._counts.planned_tokens += document.tokens
        if self._counts.planned_tokens > YOUNG_TOKENS:
            self._counts.planned_tokens = 0
            gc.collect(0)
        return prepared

    async def _compile(self, prepared: Prepared) -> None:
        """Compile a plan, which is late enough here: what the limits refuse costs no more than to say so."""
        for part in prepared.series or (prepared,):
            if len(part.plan.places) > FEW_PLACES:
                await self._aside(part.compile)
            else:
                part.compile()
        prepared.waits = False

    def _bind(self, plan: Plan, coerced: Mapping[str, Any], ctx: RequestContext) -> list[Bound]:
        """Return every place's arguments; one bad one anywhere refuses the operation before a store is asked."""
        if plan.noted:
            self._note(plan.noted, ctx)
        if not plan.bindings and not plan.refused:
            return plan.bounds
        refused = list(plan.refused)
        bounds = list(plan.bounds)
        used = 0
        most = self.limits.arguments_values_max
        for place in plan.bindings:
            assert place.arguments is not None
            if place.source is not None:
                try:
                    arguments = place.arguments(coerced)
                    used += values_in(arguments, most)
                    if used > most:
                        self._note(self.binder.take_noted(), ctx)  # or the next request had them, if this one is refused
                        self._hold(
                            self.limits.exceeded("ARGUMENT_LIMIT", "The arguments have", "arguments_values_max", used, "values or more"),
                            ctx,
                        )
                        most *= MEASURE_FACTOR  # noted once
                    bounds[place.index] = place.source.bind(self.binder, arguments)
                except CallerError as exc:
                    refused.append((place, exc.with_traceback(None)))  # or it had this frame, which has it
                    if len(refused) >= MAX_ERRORS:
                        break
        if self.binder.noted:
            self._note(self.binder.take_noted(), ctx)
        if refused:
            raise _arguments_refused(refused)
        return bounds

    async def _completed(self, prepared: Prepared, state: State) -> tuple[Any, Sequence[GraphQLError]]:
        try:
            return complete(prepared, state), NO_ERRORS
        except SecondWalk:
            return await self._mended(prepared, state)

    async def _mended(self, prepared: Prepared, state: State) -> tuple[Any, Sequence[GraphQLError]]:
        """Return data and errors of a run in which something failed."""
        self._counts.second_walks += 1
        if state.size > FEW_NULLS:
            return await self._aside(complete_with_nulls, prepared, state, thread=self._mending)
        return complete_with_nulls(prepared, state)

    def _finished(self, prepared: Prepared, state: State, ctx: RequestContext) -> Response:
        """Return the response of a run: what ``_completed`` and ``_response`` do, from a thread."""
        ctx.check()
        try:
            return self._response(complete(prepared, state), (), ctx, [(prepared, state)])
        except SecondWalk:
            self._counts.second_walks += 1
        return self._response(*complete_with_nulls(prepared, state), ctx, [(prepared, state)])

    async def _turn(self) -> None:
        """Return in a round of the loop in which nobody else reads or plans a new document, or binds many values.

        Each takes up to 40 ms, and all requests that came in one round would be read before anything else is looked at.
        """
        loop = get_running_loop()
        if self._counts.reading[0] is not loop:
            self._counts.reading = (loop, Lock())
        lock = self._counts.reading[1]
        await lock.acquire()
        loop.call_soon(lock.release)

    async def _aside(self, work: Callable[..., _T], *arguments: Any, thread: ThreadPoolExecutor | None = None) -> _T:
        """Return what a function without I/O gives, from a thread: the loop goes on meanwhile, and the deadline is looked at."""
        return await get_running_loop().run_in_executor(thread or self._beside, work, *arguments)

    async def _series(
        self,
        prepared: Prepared,
        bounds: Sequence[list[Bound]],
        costs: Sequence[Cost],
        variables: Mapping[str, Any],
        ctx: RequestContext,
    ) -> Response:
        """Run a mutation's root fields one after the other (GraphQL spec 6.2.2); all arguments were checked before the first."""
        data: dict[str, Any] | None = {}
        errors: list[GraphQLError] = []
        runs: list[tuple[Prepared, State]] = []
        for part, bound, allowed in zip(prepared.series, bounds, costs, strict=True):
            ctx.forget_reads()
            state = await execute(part.plan, bound, ctx, allowed, self.limits, variables=variables)
            if ctx.refused is not None:
                raise ctx.refused
            runs.append((part, state))
            found, failed = await self._completed(part, state)
            errors.extend(failed)
            if found is None:
                data = None
                break
            assert data is not None
            data.update(found)
        if ctx.freshness is not None:
            await self._tell_written(ctx)
        return self._response(data, errors, ctx, runs)

    def _freshness(self, tokens: Tokens, given: Freshness | None, request: Request) -> Freshness:
        """Return what a request has to see, with what its ``extensions.written`` says."""
        freshness = given or tokens.freshness()
        tokens.see(freshness, (request.extensions or {}).get("written"))
        return freshness

    async def _tell_written(self, ctx: RequestContext) -> None:
        """Have the client told of what was written in stores that have replicas."""
        freshness = ctx.freshness
        if self.tokens is None or freshness is None or not freshness.wrote:
            return
        await self.tokens.tell(freshness)
        if freshness.in_payload:
            ctx.extensions["written"] = freshness.token

    def plan(self, query: str, operation_name: str | None = None, variables: Mapping[str, Any] | None = None) -> Plan:
        """Return the plan of an operation without running it; DocumentRefused or a GatewayError where there is none."""
        document = self.documents.get(query)
        operation = document.operation(operation_name)
        return self._plan(document, operation, self._variables(document, operation, variables)).plan

    def _response(self, data: Any, errors: Sequence[GraphQLError], ctx: RequestContext, runs: Sequence[tuple[Prepared, State]]) -> Response:
        ctx.check()
        extensions = _explained(ctx) if ctx.plan is not None else {}
        if ctx.extensions:
            extensions |= ctx.extensions
        if ctx.cursor is not None:
            extensions["cursor"] = ctx.cursor
        if ctx.noted:
            extensions["limits"] = [error.extensions for error in ctx.noted]
        if errors and ctx.written:
            extensions["committed"] = ctx.written
        try:
            told = self._shown(errors, ctx) if errors else ()
            body = respond(data, told, extensions)
        except TypeError:  # JSON cannot hold a value of it: another walk finds out which
            self._counts.second_walks += 1
            data, errors = _written(runs)
            if ctx.written:
                extensions["committed"] = ctx.written
            told = self._shown(errors, ctx)
            body = respond(data, told, extensions)
        if len(body) > self.limits.response_limit_bytes:
            raise AnswerTooLongError(*result_limit(self.limits, len(body)))
        return Response(body, 200, bool(errors), 0, ctx.cursor, self._counted(told) if told else ())

    def _shown(self, errors: Sequence[GraphQLError], ctx: RequestContext) -> Sequence[Mapping[str, Any]]:
        return shown(errors, ctx.request_id, type_names=self.openness.type_names)

    def _failed(self, error: Exception, request_id: str, committed: Sequence[str] = ()) -> Response:
        """Return the response of a request that ended with an error of its own."""
        match error:
            case AnswerTooLongError():
                return self._too_long(error.error, committed)
            case DocumentRefused():
                return self._refused(error.errors, error.status)
            case GatewayError():
                if isinstance(error, Bug):
                    _log.error("%s: %s", request_id, error.message)
                return self.refuse(error, committed)
            case _:
                _log.error("%s: unexpected error", request_id, exc_info=error)
                return self.refuse(GatewayError("Internal server error.", requestId=request_id), committed)

    def _refused(self, errors: Sequence[Mapping[str, Any]], status: int, committed: Sequence[str] = ()) -> Response:
        for error in errors:
            if "setting" in error["extensions"]:
                self.limits_broken[error["extensions"]["code"], "refused"] += 1
        return Response(respond(None, errors, _committed(committed), has_data=False), status, codes=self._counted(errors))

    def _too_long(self, error: LimitExceeded, committed: Sequence[str]) -> Response:
        self.limits_broken[error.extensions["code"], "refused"] += 1
        body = respond(None, [error.shown], _committed(committed))
        return Response(body, error.http_status, partial=True, codes=self._counted([error.shown]))

    def _counted(self, errors: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Return the errors' codes, and count them; those of an author's own beyond CODES_MOST are ``OTHER``."""
        counts, codes = self.errors, []
        for error in errors:
            code = error["extensions"].get("code")
            if not isinstance(code, str) or (code not in counts and (len(code) > CODE_MAX or len(counts) >= CODES_MOST)):
                code = "OTHER"
            counts[code] += 1
            codes.append(code)
        return tuple(codes)

    # ----------------------------------------------------------------------------------------------------------- limits

    def _hold(self, broken: Sequence[LimitExceeded], ctx: RequestContext) -> None:
        """Refuse the request for the limits that are enforced, and note the others."""
        refused = enforced(broken)
        if refused:
            raise DocumentRefused([error.shown for error in refused], status=refused[0].http_status)
        self._note(broken, ctx)

    def _note(self, broken: Sequence[LimitExceeded], ctx: RequestContext) -> None:
        for error in broken:
            ctx.noted.append(error)
            self.limits_broken[error.extensions["code"], "measured"] += 1
            _log.warning("%s: %s", ctx.request_id, error.message)


def _edges_of_connections(schema: GraphQLSchema) -> frozenset[tuple[str, str]]:
    """Return the fields, as (type, name), that only lead from a connection to its edges, and so are no level of their own."""
    return frozenset(
        (type_.name, name)
        for type_ in schema.type_map.values()
        if is_object_type(type_) and not type_.name.startswith("__")
        for name, definition in type_.fields.items()
        if source_of(definition).is_a_step
    )


def _written(runs: Sequence[tuple[Prepared, State]]) -> tuple[dict[str, Any] | None, list[GraphQLError]]:
    """Return data that can be written, of a query or of a mutation's root fields, with an error in place of each value that cannot."""
    data: dict[str, Any] = {}
    errors: list[GraphQLError] = []
    for prepared, state in runs:
        found, failed = complete_with_nulls(prepared, state, tries_leaves=True)
        errors.extend(failed)
        if found is None:
            return None, errors
        data |= found
    return data, errors


def _committed(fields: Sequence[str]) -> dict[str, Any]:
    """Return the extension that says which root fields have written, though there is an error; none where none has."""
    return {"committed": list(fields)} if fields else {}


def weight_of_plan(plan: Plan) -> int:
    """Return the bytes that a compiled plan is taken to hold."""
    parts = plan.parts
    places = sum(len(part.places) for part in parts)
    fields = sum(len(view.fields) for part in parts for place in (part.root_place, *part.places) for view in place.views)
    return PLAN_BYTES + BYTES_PER_PLACE * places + BYTES_PER_FIELD * fields


def _explained(ctx: RequestContext) -> dict[str, Any]:
    explained: dict[str, Any] = {"plan": describe(ctx.plan)}
    if ctx.trace is not None:
        explained["calls"] = describe_calls(ctx.trace)
        explained["durationMs"] = round((time.monotonic() - ctx.started) * 1000, 3)
    return {"explain": explained}


def _idempotency_key(request: Request, plan: Plan) -> str | None:
    """Return the key under which a mutation happens once: of the header, or of the request's extensions, which a socket has alone."""
    key = _given_key(request)
    if key is not None:
        roots = sum(place.parent == ROOT for place in plan.places)
        if roots > 1:
            told = f"expected one root field with it, whose outcome a retry has, got {roots}"
            raise BadUserInput(f"Idempotency-Key: {told}", argument="Idempotency-Key")
    return key


def _given_key(request: Request) -> str | None:
    given = (request.extensions or {}).get(KEY_EXTENSION)
    if given is None:
        return request.idempotency_key
    if not isinstance(given, str) or not is_idempotency_key(given):
        told = f"extensions.{KEY_EXTENSION}: expected 1 to {IDEMPOTENCY_KEY_MAX} visible characters of ASCII"
        raise BadUserInput(told, argument="Idempotency-Key")
    if request.idempotency_key not in (None, given):
        raise BadUserInput(
            f"extensions.{KEY_EXTENSION}: expected the key of the header Idempotency-Key, got another", argument="Idempotency-Key"
        )
    return given


def is_idempotency_key(text: str) -> bool:
    """Return whether a text may be an idempotency key: visible characters of ASCII, not too many."""
    return 0 < len(text) <= IDEMPOTENCY_KEY_MAX and all("!" <= character <= "~" for character in text)


def _arguments_refused(refused: Sequence[tuple[Any, CallerError]]) -> DocumentRefused:
    """Return the refusal of arguments that cannot be; each error names argument and path."""
    errors = [
        {
            "message": bounded(": ".join((*_at(place.path), exc.message))),
            "extensions": {**exc.extensions, "path": [bounded(name) for name in place.path]},
        }
        for place, exc in refused
    ]
    return DocumentRefused(errors, status=BadUserInput.http_status)


def _at(path: Sequence[str]) -> tuple[str, ...]:
    """Return a path as text, if it is not the root's."""
    return (".".join(path),) if path else ()
