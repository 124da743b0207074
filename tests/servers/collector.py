"""A collector of OpenTelemetry's on loopback: takes spans in over OTLP, and answers for how they are tied."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

KINDS: Final = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}

Node = tuple[str, str]
"""Trace and span, in hex."""


@dataclass(frozen=True)
class Collected:
    """One span, as it came."""

    name: str
    kind: str
    trace: str
    span: str
    parent: str
    links: tuple[Node, ...]
    attributes: dict[str, Any]
    began: int
    ended: int
    failed: bool
    instance: str
    scope: str

    @property
    def node(self) -> Node:
        return self.trace, self.span

    @property
    def above(self) -> set[Node]:
        """All that it points to."""
        return {*self.links, *({(self.trace, self.parent)} if self.parent else ())}

    @property
    def seconds(self) -> float:
        return (self.ended - self.began) / 1e9


class Collector:
    """Listens while it is open. `refusing` has it answer that it cannot take anything."""

    def __init__(self) -> None:
        self.refusing = False
        self.asked = 0
        self._spans: list[Collected] = []
        self._came = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(collector.take(body))
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: what comes is looked at by the test."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def settings(self) -> dict[str, str]:
        """What a process is given that is to tell this collector."""
        return {
            "HANDRAIL_TRACES": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._server.server_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="collector", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, body: bytes) -> int:
        """Take a request in; the status that it is answered with."""
        with self._came:
            self.asked += 1
            self._came.notify_all()
            if self.refusing:
                return 400
            request = ExportTraceServiceRequest()
            request.ParseFromString(body)
            self._spans += [
                _collected(span, _value_of(told.resource.attributes, "service.instance.id"), scoped.scope.name)
                for told in request.resource_spans
                for scoped in told.scope_spans
                for span in scoped.spans
            ]
        return 200

    @property
    def spans(self) -> list[Collected]:
        """All that came so far."""
        with self._came:
            return list(self._spans)

    def of(self, workflow_id: str) -> list[Collected]:
        """The spans of a workflow, in the order in which they began."""
        found = [one for one in self.spans if one.attributes.get("handrail.workflow.id") == workflow_id]
        return sorted(found, key=lambda one: (one.began, one.ended))


def components(spans: Iterable[Collected]) -> list[set[Node]]:
    """The spans in groups: within one, each is reached from each by parents and links."""
    spans = list(spans)
    here = {one.node for one in spans}
    beside: dict[Node, set[Node]] = defaultdict(set)
    for one in spans:
        for other in one.above & here:
            beside[one.node].add(other)
            beside[other].add(one.node)
    groups: list[set[Node]] = []
    left = set(here)
    while left:
        group, edge = set(), [left.pop()]
        while edge:
            node = edge.pop()
            group.add(node)
            edge += [other for other in beside[node] if other not in group]
        left -= group
        groups.append(group)
    return groups


def _collected(span: trace_pb2.Span, instance: str, scope: str) -> Collected:
    return Collected(
        name=span.name,
        kind=KINDS[span.kind],
        trace=span.trace_id.hex(),
        span=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        attributes={one.key: _value_of(span.attributes, one.key) for one in span.attributes},
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        instance=instance,
        scope=scope,
    )


def _value_of(attributes: Any, key: str) -> Any:
    for one in attributes:
        if one.key == key:
            return getattr(one.value, one.value.WhichOneof("value"))
    return ""
