"""One span for each batch that a store is asked: a layer before all others, which sees a request before it is split into calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.observability.traces import Traces
from gateway.stores.base import Request, statements
from gateway.stores.funnel import Layer, Next
from gateway.stores.watches import STATEMENTS_SHOWN, without_values


def traced(traces: Traces, kinds: Mapping[str, str]) -> Layer:
    """Return the layer; ``kinds`` are those of the stores by name.

    Attributes are those of OpenTelemetry's conventions for databases. Statements have no values in them.
    """
    from opentelemetry.trace import SpanKind, StatusCode

    async def layer(request: Request[Any], caller: Any, next_: Next) -> Any:
        with traces.tracer.start_as_current_span(
            f"{request.operation} {request.about}", kind=SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
        ) as span:
            if not span.is_recording():
                return await next_(request, caller)
            span.set_attributes(
                {
                    "db.system.name": kinds[request.store],
                    "db.collection.name": request.about,
                    "db.operation.name": request.operation,
                    "db.operation.batch.size": request.keys_count,
                    "crossgraph.store": request.store,
                    "crossgraph.request_id": caller.request_id,
                }
            )
            before = statements.get()
            ran: list[Any] = []
            token = statements.set(ran)
            try:
                answer = await next_(request, caller)
                span.set_attribute("db.response.returned_rows", request.rows_in(answer))
                return answer
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise
            finally:
                statements.reset(token)
                if ran:
                    span.set_attribute("db.query.text", "\n".join(map(without_values, ran[:STATEMENTS_SHOWN])))
                if before is not None:
                    before.extend(ran)

    return layer
