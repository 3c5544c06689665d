"""Spans for OpenTelemetry: one for each request, below the span of who asked for it (W3C Trace Context).

The library is an extra (``crossgraph[otel]``) and is imported only where traces are on. Spans of what stores are asked are made in
``gateway/stores/tracing.py``; those that libraries or an author's own code make in between find their parent as ever, in the context.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from gateway.errors import ConfigError
from gateway.observability.accounts import Account

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

SERVICE = "crossgraph"
FLUSH_S = 2.0  # at the end, for spans that are not sent yet

_HEADERS = ("traceparent", "tracestate")

_log = logging.getLogger("gateway.traces")


class Traces:
    """The spans of a process. ``make`` is called once it serves: what sends spans has a thread, which does not survive a fork."""

    def __init__(self, make: Callable[[], TracerProvider]) -> None:
        self._make = make
        self._provider: TracerProvider | None = None
        self._tracer: Tracer | None = None

    def open(self) -> None:
        self._provider = self._make()
        self._tracer = self._provider.get_tracer(SERVICE, version(SERVICE))

    async def close(self) -> None:
        """Send what is left, for FLUSH_S at most."""
        provider, self._provider = self._provider, None
        if provider is None:
            return
        try:
            async with asyncio.timeout(FLUSH_S):
                await asyncio.to_thread(provider.shutdown)
        except TimeoutError:
            _log.warning("ended before all spans were sent")

    @property
    def tracer(self) -> Tracer:
        assert self._tracer is not None, "spans are made while it is open"
        return self._tracer

    @contextmanager
    def request(self, account: Account, request_id: str, headers: Mapping[bytes, bytes]) -> Iterator[Span]:
        """Give the span of a request, which is the current one in the block, and has what ``account`` says at its end."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {name: value.decode("latin-1") for name in _HEADERS if (value := headers.get(name.encode())) is not None}
        parent = TraceContextTextMapPropagator().extract(carrier)
        with self.tracer.start_as_current_span(
            "GraphQL", parent, SpanKind.SERVER, {"crossgraph.request_id": request_id}, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            finally:
                if span.is_recording():
                    _describe(span, account)


def _describe(span: Span, account: Account) -> None:
    """Tell of a request what its line in the log does: no text of a client's, no variables."""
    from opentelemetry.trace import StatusCode

    told = account.fields()
    name = told.get("operation")
    if "type" in told:
        span.update_name(f"{told['type']} {name}" if name else told["type"])
        span.set_attribute("graphql.operation.type", told["type"])
    if name:
        span.set_attribute("graphql.operation.name", name)
    for field in ("tenant", "hash", "document_hit", "plan_hit", "calls", "keys", "rows", "events"):
        if field in told:
            span.set_attribute(f"crossgraph.{field}", told[field])
    if account.codes:
        span.set_attribute("crossgraph.errors", sorted(set(account.codes)))
        span.set_status(StatusCode.ERROR, account.codes[0])


def traces_to(url: str, share: float) -> Traces:
    """Return traces that are sent by OTLP over HTTP, so large a share of those that nobody else began. ConfigError without the library.

    An empty ``url`` is whatever the library's own variables say (``OTEL_EXPORTER_OTLP_ENDPOINT``), and those hold for all the rest.
    """
    if any(find_spec(name) is None for name in ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")):
        raise ConfigError("traces = 'otlp': expected the extra of the package that sends them, crossgraph[otel], and it is not installed")

    def make() -> TracerProvider:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

        resource = Resource({"service.name": SERVICE, "service.version": version(SERVICE)}).merge(Resource.create())
        if resource.attributes.get("service.name") == "unknown_service":  # the library's name for none
            resource = resource.merge(Resource({"service.name": SERVICE}))
        provider = TracerProvider(sampler=ParentBasedTraceIdRatio(share), resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url or None)))
        return provider

    return Traces(make)
