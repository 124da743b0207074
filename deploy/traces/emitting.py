"""One span at a time: with the ids that it is to have, the instants at which what it tells of began and ended.

Every span is begun and ended in one call, when it is over. So none is ever open: not during a wait, not over a crash.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from opentelemetry.context import Context, attach
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)

from deploy.traces.conventions import ERROR_TYPE, SCHEMA, SCOPE
from domain.tracing import TRACESTATE_CHARACTERS, TraceContext

Attribute = str | int | bool
When = tuple[datetime, datetime]
"""When what a span tells of began, and when it ended."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NANOSECONDS: Final = 1_000


class PlannedIds(IdGenerator):
    """Chance, except where the next span of this thread is to have ids that were derived."""

    def __init__(self) -> None:
        """Nothing is planned."""
        self._chance = RandomIdGenerator()
        self._next = threading.local()

    def plan(self, context: TraceContext | None) -> None:
        """The next span is to have these ids; None: whatever chance gives."""
        self._next.context = context

    def generate_trace_id(self) -> int:
        """The planned one, or chance."""
        planned: TraceContext | None = getattr(self._next, "context", None)
        return planned.trace_id if planned is not None else self._chance.generate_trace_id()

    def generate_span_id(self) -> int:
        """The same for the span."""
        planned: TraceContext | None = getattr(self._next, "context", None)
        return planned.span_id if planned is not None else self._chance.generate_span_id()

    def fresh(self, trace_id: int | None = None) -> TraceContext:
        """A context by chance, in a trace if that is given."""
        trace = trace_id if trace_id is not None else self._chance.generate_trace_id()
        return TraceContext(trace, self._chance.generate_span_id())


class Emitter:
    """Makes finished spans with a provider whose ids are `PlannedIds`."""

    def __init__(self, provider: TracerProvider, ids: PlannedIds) -> None:
        """Emit by this provider."""
        self._sampler = provider.sampler
        self._tracer = provider.get_tracer(SCOPE, schema_url=SCHEMA)
        self.ids = ids

    def sampled(self, trace_id: int) -> bool:
        """Whether spans of a trace are kept: by its id alone, so that every process says the same."""
        return self._sampler.should_sample(None, trace_id, SCOPE).decision is not Decision.DROP

    def emit(
        self,
        name: str,
        context: TraceContext,
        when: When,
        attributes: Mapping[str, Attribute],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: TraceContext | None = None,
        links: Sequence[Link] = (),
        error: str = "",
    ) -> None:
        """One span with these ids; a parent is of the same trace. `error` is its `error.type`."""
        above = Context() if parent is None else set_span_in_context(self._span(parent), Context())
        told = {**attributes, ERROR_TYPE: error} if error else attributes
        self.ids.plan(context)
        try:
            span = self._tracer.start_span(
                name, above, kind=kind, attributes=told, links=links, start_time=_nanoseconds(when[0])
            )
        finally:
            self.ids.plan(None)
        if error:
            span.set_status(Status(StatusCode.ERROR))
        span.end(_nanoseconds(max(when)))

    def enter(self, context: TraceContext) -> None:
        """Have what runs in this task from now on see the span as its parent."""
        attach(set_span_in_context(self._span(context)))

    def _span(self, context: TraceContext) -> NonRecordingSpan:
        return NonRecordingSpan(_span_context(context, sampled=self.sampled(context.trace_id)))


def current() -> TraceContext | None:
    """The span that the caller is in, where a program that traces itself uses Handrail."""
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return TraceContext(context.trace_id, context.span_id, context.trace_flags.sampled)


def current_tracestate() -> str:
    """What the vendors say of the span that the caller is in."""
    return get_current_span().get_span_context().trace_state.to_header()


def link(context: TraceContext, tracestate: object = "") -> Link:
    """A link to a span, with what its sender's vendors said of it."""
    said = tracestate if isinstance(tracestate, str) and len(tracestate) <= TRACESTATE_CHARACTERS else ""
    state = TraceState.from_header([said]) if said else TraceState()
    return Link(_span_context(context, sampled=context.sampled, state=state))


def _span_context(context: TraceContext, *, sampled: bool, state: TraceState | None = None) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return SpanContext(context.trace_id, context.span_id, is_remote=True, trace_flags=flags, trace_state=state)


def _nanoseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND * _NANOSECONDS
