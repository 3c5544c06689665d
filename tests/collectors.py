"""A collector of OpenTelemetry on 127.0.0.1, which keeps what is sent to it (OTLP over HTTP)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Collector:
    url: str
    received: list[tuple[str, bytes]] = field(default_factory=list)  # paths and bodies

    def spans(self) -> list[tuple[dict[str, Any], Any]]:
        """Return what has come so far: of each span the attributes, and itself (opentelemetry.proto.trace.v1)."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        sent = [ExportTraceServiceRequest.FromString(body) for _, body in list(self.received)]
        spans = [span for each in sent for resource in each.resource_spans for scope in resource.scope_spans for span in scope.spans]
        return [({one.key: _value(one.value) for one in span.attributes}, span) for span in spans]


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            its.received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    its = Collector(f"http://127.0.0.1:{server.server_port}/v1/traces")
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield its
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
