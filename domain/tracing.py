"""The trace context of a workflow: derived from its id, never stored, so that a crash or a restart cannot lose it.

A workflow has one trace, and whatever others must be able to point to has a span id of its own: its beginning, a
decision by the version of its last event, a command, an announcement, an attempt, a message taken in by their ids.
Whoever knows the words knows the span, in whichever process and however much later: nothing has to be carried along.
`salt` is the store's: `wf_001` of one home is not `wf_001` of another.

What emits spans is handed in as `Traces`, and is None where nobody asked for them. Ids are W3C's trace context,
https://www.w3.org/TR/trace-context/ (level 1).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple, Protocol

from domain.ports import Command, Decided, Request
from domain.transport import Delivery, Outgoing, Published
from domain.triggers import RecordOutcome

SpanOf = Literal["begun", "decision", "message", "attempt", "taken", "asked", "step", "wait"]
"""What a derived span is of: a workflow's beginning, a decision, a message asked for, an attempt, a message taken in,
something asked of another workflow; and, in traces made from histories, a step and a wait."""

_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8
_SAMPLED: Final = 1
_SEPARATOR: Final = "\x1f"
_PARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
TRACESTATE_CHARACTERS: Final = 512
"""What of a `tracestate` is read at most; a longer one is dropped, which the standard allows."""


class TraceContext(NamedTuple):
    """Which span of which trace."""

    trace_id: int
    span_id: int
    sampled: bool = True


def trace_of(salt: str, workflow_id: str) -> int:
    """The trace of a workflow, or of a message that belongs to none: never 0."""
    return _number(_TRACE_BYTES, salt, "trace", workflow_id)


def span_of(salt: str, kind: SpanOf, words: str) -> int:
    """The span that these words name: never 0."""
    return _number(_SPAN_BYTES, salt, kind, words)


def decision_words(workflow_id: str, version: int) -> str:
    """The words for a decision: its workflow, and the version of its last event, which the next one follows."""
    return f"{workflow_id}@{version}"


def asked_words(workflow_id: str, version: int) -> str:
    """The words for an event that asks something of another workflow: what that one calls its cause."""
    return f"{workflow_id}/{version}"


def ended_words(child: str) -> str:
    """The words for the end of a child, which is told to its parent."""
    return f"{child}/ended"


def traceparent_of(context: TraceContext) -> str:
    """A context as the header `traceparent` has it."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{_SAMPLED if context.sampled else 0:02x}"


def parse_traceparent(text: object) -> TraceContext | None:
    """The context in a header; None for whatever is none: a bad one is as good as missing."""
    if not isinstance(text, str) or (found := _PARENT.fullmatch(text)) is None:
        return None
    version, trace, span, flags, more = found.groups()
    trace_id, span_id = int(trace, 16), int(span, 16)
    if version == "ff" or (version == "00" and more) or not trace_id or not span_id:
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def _number(size: int, *words: str) -> int:
    digest = hashlib.sha256(_SEPARATOR.join(words).encode("utf-8", "backslashreplace")).digest()
    return int.from_bytes(digest[:size]) or 1


class Traces(Protocol):
    """Emits spans, each when what it tells of is over. Nothing that goes wrong here is raised."""

    def instant(self) -> datetime:
        """The present instant, for the beginnings below."""
        ...

    def decided(self, began: datetime, turn: Sequence[Decided]) -> None:
        """A turn that began then is in the store; what was refused in it is not."""
        ...

    def failed(self, began: datetime, requests: Sequence[Request], error: BaseException) -> None:
        """A turn that began then came to nothing."""
        ...

    def claimed(self, began: datetime, commands: Sequence[Command]) -> None:
        """These were claimed with one statement that began then."""
        ...

    def within(self, command: Command) -> None:
        """The task that this is called in runs an attempt: spans of author code in it belong to the attempt's."""
        ...

    def attempted(self, command: Command, outcome: RecordOutcome, *, late: bool) -> None:
        """An attempt is over; `late` where it was given up before."""
        ...

    def processed(
        self, began: datetime, deliveries: Sequence[Delivery], command: Command, became: str, *, ran: bool
    ) -> None:
        """The deliveries of a step command are settled; `ran`: its attempt was brought by them."""
        ...

    def received(
        self, began: datetime, delivery: Delivery, became: str, *, workflow_id: str, receipt: str, fault: str
    ) -> None:
        """A message of another service is settled; `workflow_id` and `receipt` are empty where there is none."""
        ...

    def outgoing(self, messages: Sequence[Outgoing]) -> list[Outgoing]:
        """The messages with their trace context in their headers."""
        ...

    def published(self, began: datetime, messages: Sequence[Outgoing], answers: Sequence[Published]) -> None:
        """These, as `outgoing` made them, were sent; no answers where there was no broker."""
        ...
