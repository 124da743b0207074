"""Traces as the settings ask for them: a provider of OpenTelemetry's with its exporter, and its end.

Where, how much and under which name is said by OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_…), which the SDK
reads. Spans wait in a bounded queue and are exported by a thread of the SDK's own: what it cannot get rid of in time it
drops, and whatever goes wrong there is logged by it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from typing import Final, Literal

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

from deploy.traces.emitting import Emitter, PlannedIds
from deploy.traces.spans import SpanTraces
from deploy.version import version_of
from domain.ports import Clock

CLOSE_SECONDS: Final = 5.0
"""How long the end of a process waits for its last spans to be exported."""

_NAME: Final = "handrail"


class OpenTraces:
    """A provider and what emits by it. Made on the event loop; ended with `close`."""

    def __init__(
        self, exporter: SpanExporter, *, salt: str, clock: Clock, broker: tuple[str, int | None] | None
    ) -> None:
        """Export by this exporter, in batches."""
        ids = PlannedIds()
        self.provider = TracerProvider(resource=_resource(), id_generator=ids, shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self.traces = SpanTraces(Emitter(self.provider, ids), salt=salt, clock=clock, broker=broker)

    def for_author_code(self) -> None:
        """Have spans of author code go where ours go, unless the program has set up OpenTelemetry itself."""
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self.provider)

    async def close(self) -> None:
        """Export what is left, as far as that can be done in a few seconds."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def end() -> None:
            self.provider.shutdown()
            try:
                loop.call_soon_threadsafe(ended.set)
            except RuntimeError:
                return  # the loop was closed: nobody waits any more

        # A daemon: an endpoint that does not answer must not keep the process from ending.
        threading.Thread(target=end, name="traces' end", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await ended.wait()
        except TimeoutError:
            return


def exporter_of(kind: Literal["otlp", "console"]) -> SpanExporter:
    """What brings spans out: to a collector, or to standard error, a line of JSON each."""
    if kind == "otlp":
        return OTLPSpanExporter()
    return ConsoleSpanExporter(out=sys.stderr, formatter=_line)


def _line(span: ReadableSpan) -> str:
    return f"{json.dumps(json.loads(span.to_json(indent=None)))}\n"


def _resource() -> Resource:
    """Who tells: this process, under the name that OTEL_SERVICE_NAME gives it, or as handrail."""
    instance = f"{socket.gethostname()}-{os.getpid()}"
    told = Resource({"service.name": _NAME, "service.instance.id": instance, "service.version": version_of()})
    return told.merge(OTELResourceDetector().detect())
