"""One request from text to response, without HTTP. Read this first: it calls the phases in their order.

    document -> plan -> values -> execute -> complete -> respond

An operation that the engine does not plan is run whole by graphql-core (``engine/fallback.py``), with the same checks before it.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError, OperationType

from gateway.context import RequestContext
from gateway.engine.complete import SecondWalk, compile_plan, complete
from gateway.engine.document import Document, DocumentRefused, Documents
from gateway.engine.execute import execute
from gateway.engine.explain import describe, describe_calls
from gateway.engine.fallback import Fallback
from gateway.engine.nulls import complete_with_nulls
from gateway.engine.plan import Plan, Planner, switches_of
from gateway.engine.respond import respond, shown
from gateway.engine.values import Binder, Bound, Limits
from gateway.engine.variables import Variables, VariablesRefusedError
from gateway.errors import BadUserInput, Bug, Forbidden, GatewayError, MethodNotAllowed, bounded
from gateway.fields import Graph
from gateway.loaders import end
from gateway.observability.metrics import Reading
from gateway.stores import Stores

PLANS_PER_DOCUMENT = 64  # operations times combinations of @skip/@include variables

_log = logging.getLogger("gateway.service")


@dataclass(frozen=True, slots=True)
class Request:
    """One GraphQL request, already decoded."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None
    extensions: dict[str, Any] | None = None
    mutation_allowed: bool = True  # not by GET
    explain: str | None = None  # "plan" or "trace"


@dataclass(frozen=True, slots=True)
class Response:
    """``status`` is HTTP's: 200 where there is data, also in part; 4xx and 5xx where the request was refused."""

    body: bytes
    status: int
    partial: bool = False  # data and errors


class Service:
    """Answers requests over one graph and its stores. Holds no request's state."""

    def __init__(
        self,
        graph: Graph,
        stores: Stores,
        limits: Limits | None = None,
        *,
        engine: bool = True,
        documents: int = 1_000,
        may_explain: bool = True,
    ) -> None:
        self.graph = graph
        self.stores = stores
        schema = graph.schema._schema  # Strawberry's way to graphql-core's schema
        collections = {refers: c for c in graph.collections if len(c.key) == 1 and (refers := c[c.key[0]].refers) is not None}
        self.binder = Binder(frozenset(collections), limits or Limits())
        self.documents = Documents(schema, size=documents)
        self.planner = Planner(schema, collections, self.binder)
        self.fallback = Fallback(schema, collections, self.binder)
        self.unplanned: Counter[str] = Counter()  # operations that went to graphql-core, by reason
        self.plan_hits = self.plan_misses = 0
        self.second_walks = 0  # answers with something missing in them
        self._engine = engine
        self._may_explain = may_explain
        self._schema = schema

    async def answer(self, request: Request, *, request_id: str = "", deadline_s: float | None = None) -> Response:
        """Return the response to a request. Never raises, but for a cancellation."""
        now = time.monotonic()
        deadline = None if deadline_s is None else now + deadline_s
        ctx = RequestContext(self.stores, request_id, deadline, [] if request.explain == "trace" else None, started=now)
        try:
            return await self._answer(request, ctx)
        except DocumentRefused as refused:
            return self._refused(refused.errors, code=refused.code, status=refused.status)
        except _ArgumentsRefused as refused:
            return Response(respond(None, refused.errors, has_data=False), BadUserInput.http_status)
        except GatewayError as exc:
            return self.refuse(exc)
        except Exception:
            _log.exception("%s: unexpected error", request_id)
            return self.refuse(GatewayError("Internal server error.", requestId=request_id))
        finally:
            end(ctx)

    def refuse(self, error: GatewayError) -> Response:
        """Return the response of a request that is not run at all."""
        message = error.message if not isinstance(error, Bug) else "Internal server error."
        errors = [{"message": bounded(message), "extensions": error.extensions}]
        return Response(respond(None, errors, has_data=False), error.http_status)

    def readings(self) -> Iterator[Reading]:
        """Give what was counted since the start."""
        for reason, count in self.unplanned.items():
            yield Reading("unplanned_operations", "Operations that graphql-core ran, by reason.", count, {"reason": reason})
        yield Reading("second_walks", "Answers that took a second walk to place nulls and errors.", self.second_walks)
        for result, count in (("hit", self.plan_hits), ("miss", self.plan_misses)):
            yield Reading("plans", "Look-ups of plans in their cache.", count, {"result": result})
        for name, count in self.documents.counts().items():
            is_size = name in ("documents", "broken")
            name = f"document_cache_{name}" if not is_size else f"document_cache_size_{name}"
            yield Reading(name, "The cache of parsed documents.", count, is_counter=not is_size)
        for key, count in self.stores.calls.items():
            store, _, collection = key.partition(".")
            yield Reading("store_calls", "Calls that reached a store.", count, {"store": store, "collection": collection})

    # ----------------------------------------------------------------------------------------------------------- phases

    async def _answer(self, request: Request, ctx: RequestContext) -> Response:
        document = self.documents.get(request.query)
        operation = document.operation(request.operation_name)
        if operation.operation is OperationType.MUTATION and not request.mutation_allowed:
            raise MethodNotAllowed("A mutation needs POST.")
        if operation.operation is OperationType.SUBSCRIPTION:
            raise MethodNotAllowed("A subscription needs a stream.")
        coerced = self._variables(document, operation, request.variables)
        plan = self._plan(document, operation, coerced)
        if request.explain is not None:
            if not self._may_explain:
                raise Forbidden("X-Gateway-Explain is not allowed here (setting environment).")
            ctx.plan = plan
        if plan.series and self._engine:
            return await self._series(plan, coerced, ctx)
        bounds = self._bind(plan, coerced)
        if plan.unplanned is not None or not self._engine:
            return await self._by_graphql_core(document, request, plan, ctx)
        data, errors = await self._run(plan, bounds, ctx)
        return self._response(data, errors, ctx)

    def _variables(self, document: Document, operation: Any, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
        name = operation.name.value if operation.name else ""
        variables: Variables | None = document.variables.get(name)
        if variables is None:
            variables = document.variables[name] = Variables(self._schema, operation)
        try:
            return variables.coerce(given)
        except VariablesRefusedError as refused:
            raise DocumentRefused(refused.errors, code="BAD_USER_INPUT", status=422) from None

    def _plan(self, document: Document, operation: Any, coerced: Mapping[str, Any]) -> Plan:
        """Return the plan; one dictionary look-up after the first time."""
        plans = document.plans
        names = plans.get("switches")
        if names is None:
            names = plans["switches"] = switches_of(document)
        on = tuple(coerced.get(name) for name in names)
        key = (operation.name.value if operation.name else "", on)
        plan: Plan | None = plans.get(key)
        if plan is not None:
            self.plan_hits += 1
            return plan
        self.plan_misses += 1
        plan = self.planner.plan(document, operation, dict(zip(names, on, strict=True)))
        for part in (plan, *plan.series):
            if part.unplanned is None:
                compile_plan(part)
        if len(plans) > PLANS_PER_DOCUMENT:
            plans.clear()
        plans[key] = plan
        return plan

    def _bind(self, plan: Plan, coerced: Mapping[str, Any]) -> list[Bound]:
        """Return every place's arguments; one bad one anywhere refuses the operation before a store is asked."""
        if not plan.bindings and not plan.refused:
            return plan.bounds
        refused = list(plan.refused)
        bounds = list(plan.bounds)
        for place in plan.bindings:
            assert place.arguments is not None
            if place.source is not None:
                try:
                    bounds[place.index] = self.binder.bind(place.source, place.arguments(coerced))
                except BadUserInput as exc:
                    refused.append((place, exc))
        if refused:
            raise _ArgumentsRefused(refused)
        return bounds

    async def _run(self, plan: Plan, bounds: list[Bound], ctx: RequestContext) -> tuple[Any, list[GraphQLError]]:
        state = await execute(plan, bounds, ctx)
        try:
            return complete(plan, state), []
        except SecondWalk:
            self.second_walks += 1
            return complete_with_nulls(plan, state)

    async def _series(self, plan: Plan, coerced: Mapping[str, Any], ctx: RequestContext) -> Response:
        """Run a mutation's root fields one after the other (GraphQL spec 6.2.2); all arguments are checked before the first."""
        bounds = [self._bind(part, coerced) for part in plan.series]
        data: dict[str, Any] | None = {}
        errors: list[GraphQLError] = []
        for part, bound in zip(plan.series, bounds, strict=True):
            ctx.memo.clear()  # what was read before a write may not be true after it
            found, failed = await self._run(part, bound, ctx)
            errors.extend(failed)
            if found is None:
                data = None
                break
            assert data is not None
            data.update(found)
        return self._response(data, errors, ctx)

    async def _by_graphql_core(self, document: Document, request: Request, plan: Plan, ctx: RequestContext) -> Response:
        self.unplanned[plan.unplanned or "the engine is off"] += 1
        result = await self.fallback.execute(document, request.operation_name, request.variables or {}, ctx)
        return self._response(result.data, list(result.errors or ()), ctx)

    def plan(self, query: str, operation_name: str | None = None, variables: Mapping[str, Any] | None = None) -> Plan:
        """Return the plan of an operation without running it; DocumentRefused or a GatewayError where there is none."""
        document = self.documents.get(query)
        operation = document.operation(operation_name)
        return self._plan(document, operation, self._variables(document, operation, variables))

    def _response(self, data: Any, errors: Sequence[GraphQLError], ctx: RequestContext) -> Response:
        extensions = _explained(ctx) if ctx.plan is not None else None
        if not errors:
            return Response(respond(data, (), extensions), 200)
        return Response(respond(data, shown(errors, ctx.request_id), extensions), 200, partial=True)

    def _refused(self, errors: Sequence[GraphQLError], *, code: str, status: int) -> Response:
        formatted = [{**error.formatted, "message": bounded(error.message), "extensions": {"code": code}} for error in errors]
        return Response(respond(None, formatted, has_data=False), status)


def _explained(ctx: RequestContext) -> dict[str, Any]:
    explained: dict[str, Any] = {"plan": describe(ctx.plan)}
    if ctx.trace is not None:
        explained["calls"] = describe_calls(ctx.trace)
        explained["durationMs"] = round((time.monotonic() - ctx.started) * 1000, 3)
    return {"explain": explained}


class _ArgumentsRefused(Exception):
    """Arguments that cannot be; each error names argument and path."""

    def __init__(self, refused: Sequence[tuple[Any, BadUserInput]]) -> None:
        super().__init__(refused[0][1].message)
        self.errors = [
            {
                "message": bounded(": ".join((*_at(place.path), exc.message))),
                "extensions": {**exc.extensions, "path": [bounded(name) for name in place.path]},
            }
            for place, exc in refused
        ]


def _at(path: Sequence[str]) -> tuple[str, ...]:
    """Return a path as text, if it is not the root's."""
    return (".".join(path),) if path else ()
