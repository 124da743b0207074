"""A workflow's trace made from its history, as OTLP/JSON: what it went through, even where traces were off.

A line is one ExportTraceServiceRequest, as collectors read it from files and over HTTP. Ids are derived as those of
live traces are: the span of a workflow and those of its attempts have the ids that they have there. Like live traces
these tell ids, names of things and what became of them; inputs, outputs, reasons and persons they do not.

Nothing of OpenTelemetry's packages is imported; deploy/schemas/exports/otlp.json is the schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final, NamedTuple

from deploy.traces import conventions as names
from deploy.traces.asked import SALT
from domain.ids import ARTIFACT_STEP, PLAN_STEP, message_id
from domain.nodes.observer import PROBE
from domain.ports import Transactions
from domain.tracing import SpanOf, span_of, trace_of
from projections.exporting.reading import Exported, definition_in
from projections.exporting.telling import Teller, Told, clean

SPANS_A_LINE: Final = 500
SERVICE: Final = "handrail"

_INTERNAL: Final = 1
_ERROR: Final = 2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NANOSECONDS: Final = 1_000

Value = str | int | bool
Attributes = dict[str, Value]
Span = dict[str, Any]

_ENDS: Final = {
    "WorkflowCompleted": "completed",
    "WorkflowFailed": "failed",
    "WorkflowCancelled": "cancelled",
    "WorkflowCompensated": "compensated",
}
_FAILED: Final = frozenset({"failed", "compensated"})

_SIDES: Final = {"run": "run", "probe": "run", "compensate": "undo", "plan": "plan", "artifact": "artifact"}
"""Which piece of work an attempt belongs to, by its kind."""
_OPENS: Final = {
    "PolicyEvaluated": "run",
    "ApprovalRequested": "run",
    "WaitStarted": "run",
    "ChildStarted": "run",
    "CompensationScheduled": "undo",
    "PlanRequested": "plan",
}
_CLOSES: Final = {
    "StepSucceeded": ("run", "ok"),
    "StepFailed": ("run", "failed"),
    "StepSkipped": ("run", "skipped"),
    "StepCompensated": ("undo", "ok"),
    "CompensationFailed": ("undo", "failed"),
    "PlanProposed": ("plan", "ok"),
    "PlanRejected": ("plan", "rejected"),
    "ArtifactRecorded": ("artifact", "ok"),
}
_ENGINE_STEPS: Final = {"plan": PLAN_STEP, "artifact": ARTIFACT_STEP}

_ATTEMPT_ENDS: Final = {
    "StepSucceeded": ("run", "ok"),
    "AttemptFailed": ("", "failed"),
    "AttemptLapsed": ("", "lapsed"),
    "StepTimedOut": ("", "timed_out"),
    "CommandDeadLettered": ("", "dead_lettered"),
    "StepCompensated": ("compensate", "ok"),
    "ArtifactRecorded": ("artifact", "ok"),
    "ApprovalRequested": ("run", "needs_approval"),
}
"""Of each event that ends an attempt: its kind, where the event does not say it, and its outcome."""

_WAITS: Final = {
    "ApprovalRequested": "approval",
    "InterventionRequested": "intervention",
    "OutcomeUnknown": "outcome_unknown",
    "ChildStarted": "child",
    "WorkflowPaused": "resume",
}
_WAIT_ENDS: Final = {
    "ApprovalGranted": ("approval", "granted"),
    "ApprovalRejected": ("approval", "rejected"),
    "ApprovalExpired": ("approval", "expired"),
    "InterventionApplied": ("intervention", "applied"),
    "OutcomeReconciled": ("outcome_unknown", "settled"),
    "ChildEnded": ("child", "ended"),
    "WorkflowResumed": ("resume", "resumed"),
    "WaitSatisfied": ("", "satisfied"),
    "WaitTimedOut": ("", "timed_out"),
}
"""Of each event that ends a wait: what was waited for, where the event does not say it, and what came of it."""


def salt_to_read(store: Transactions) -> str:
    """The salt of the store's live traces; where traces were never asked for, a digest of its first event's header.

    Nothing is written. Raises StoreUnavailable.
    """
    found = store.query("SELECT value FROM store_facts WHERE name = ?", (SALT,))
    if found:
        return str(found[0][0])
    first = store.query("SELECT state FROM stored_events ORDER BY id LIMIT 1")
    stored = first[0][0] if first else b""
    header = bytes(stored) if isinstance(stored, bytes | bytearray | memoryview) else str(stored).encode()
    return sha256(header.split(b"\n", 1)[0]).hexdigest()


class PastTraces:
    """One export as OTLP/JSON lines."""

    def __init__(self, teller: Teller, salt: str) -> None:
        """Nothing is written yet; `salt` is the store's."""
        self._teller = teller
        self._salt = salt

    def lines(self, histories: Iterable[Exported]) -> Iterator[bytes]:
        """The lines of the file: one for each workflow, more for a long one."""
        for exported in histories:
            spans: list[Span] = []
            for span in _Past(exported, self._salt).spans(self._teller):
                spans.append(span)
                if len(spans) == SPANS_A_LINE:
                    yield _line(spans)
                    spans = []
            if spans:
                yield _line(spans)


class _Open(NamedTuple):
    """What has begun and is not over: its span's id, its name, the instant, in nanoseconds since 1970."""

    span: str
    name: str
    began: int
    attributes: Attributes
    above: str
    links: tuple[dict[str, str], ...] = ()


class _Past:
    """The spans of one workflow, each told when it is over; what is not over at the end is told then, as open."""

    def __init__(self, exported: Exported, salt: str) -> None:
        self._exported = exported
        self._salt = salt
        self._id = exported.workflow_id
        self._trace = f"{trace_of(salt, self._id):032x}"
        self._root = self._span_id("begun", self._id)
        self._now = 0
        self._work: dict[tuple[str, str], _Open] = {}
        self._attempts: dict[str, _Open] = {}
        self._waits: dict[tuple[str, str], _Open] = {}

    def spans(self, teller: Teller) -> Iterator[Span]:
        """The spans; the workflow's own is the last."""
        began = ended = version = number = 0
        definition, status, failure, links = ("", ""), "", "", list[dict[str, str]]()
        for number, told in enumerate(teller.events_of(self._exported), start=1):
            self._now = _nanoseconds(told.at) or self._now
            began = began or self._now
            version = told.row.version
            if number == 1:
                definition = definition_in(told.row)
            for field in ("parent_workflow", "source"):
                if (other := told.text(field)) and told.name in {"WorkflowStarted", "WorkflowForked"}:
                    links.append(self._link(other))
            yield from self._told(told)
            if told.name in _ENDS and not status:
                ended, status = self._now, _ENDS[told.name]
                failure = _error_of(told) or status
                yield from self._end_all({names.OUTCOME: "ended"})
        if not number:
            return
        yield from self._end_all({names.OPEN: True})
        name = clean(definition[0])
        attributes: Attributes = {
            names.GEN_AI_CONVERSATION_ID: clean(self._id),
            names.WORKFLOW_ID: clean(self._id),
            names.DEFINITION: name,
            names.DEFINITION_VERSION: clean(definition[1]),
            names.WORKFLOW_VERSION: version,
            names.EVENTS: number,
            names.GEN_AI_OPERATION_NAME: names.INVOKE_WORKFLOW,
            names.GEN_AI_WORKFLOW_NAME: name,
        }
        more: Attributes = {names.WORKFLOW_STATUS: status} if status else {names.OPEN: True}
        root = _Open(self._root, f"{names.INVOKE_WORKFLOW} {name}".strip(), began, attributes, "", tuple(links))
        yield self._span(root, ended or self._now, more, error=failure if status in _FAILED else "")

    def _told(self, told: Told) -> Iterator[Span]:
        """What an event ends and what it begins."""
        yield from self._end_attempts(told)
        yield from self._end_wait(told)
        self._begin(told)
        yield from self._end_work(told)

    # --- beginnings ---------------------------------------------------------------------------------------------------

    def _begin(self, told: Told) -> None:
        name, step = told.name, told.text("step")
        side = _SIDES.get(told.text("kind"), "") if name == "StepScheduled" else _OPENS.get(name, "")
        step = step or _ENGINE_STEPS.get(side, "")
        if side and step and (step, side) not in self._work:
            what = f"{names.RUN} {step}" if side != "undo" else f"{names.RUN} {step} undone"
            attributes: Attributes = {names.STEP: step, names.KIND: side}
            self._work[step, side] = self._opened("step", told, what, attributes, self._root)
        if name == "StepScheduled":
            self._begin_attempt(told, step, side)
        reason = told.text("reason") if name == "WaitStarted" else _WAITS.get(name, "")
        if reason:
            about: Attributes = {names.WAITED_FOR: reason}
            if step:
                about[names.STEP] = step
            if approval := told.text("approval_id"):
                about[names.APPROVAL] = approval
            above = self._work.get((step, "run"))
            links = (self._link(child),) if (child := told.text("child_workflow")) else ()
            self._waits.setdefault(
                (step, reason),
                self._opened("wait", told, f"{names.WAIT} {reason}", about, above.span if above else self._root, links),
            )

    def _begin_attempt(self, told: Told, step: str, side: str) -> None:
        number, kind = told.number("attempt"), told.text("kind")
        if not step or not kind or number is None:
            return
        command, activity = message_id(self._id, step, kind, number), told.text("activity")
        above = self._work.get((step, side))
        attributes: Attributes = {
            names.GEN_AI_OPERATION_NAME: names.EXECUTE_TOOL,
            names.GEN_AI_TOOL_NAME: activity,
            names.GEN_AI_TOOL_TYPE: names.FUNCTION,
            names.GEN_AI_TOOL_CALL_ID: command,
            names.STEP: step,
            names.KIND: kind,
            names.ATTEMPT: number,
            names.QUEUE: told.text("queue"),
        }
        span = self._span_id("attempt", command)
        what = f"{names.EXECUTE_TOOL} {activity}"
        self._attempts[command] = _Open(span, what, self._now, attributes, above.span if above else self._root)

    def _opened(
        self,
        kind: SpanOf,
        told: Told,
        name: str,
        attributes: Attributes,
        above: str,
        links: tuple[dict[str, str], ...] = (),
    ) -> _Open:
        span = self._span_id(kind, f"{self._id}@{told.row.version}")
        return _Open(span, name, self._now, attributes, above, links)

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _end_attempts(self, told: Told) -> Iterator[Span]:
        yield from self._end_attempt(told)
        if told.name in {"PlanProposed", "PlanRejected"}:
            yield from self._end_kind(PLAN_STEP, "plan", "ok")
        elif told.name == "OutcomeReconciled":
            yield from self._end_kind(
                told.text("step"), "probe", "ok" if told.text("settled_by") == PROBE else "revoked"
            )
        for key in ("revoked", "ended"):
            listed = told.said.get(key)
            for command in listed if isinstance(listed, list) else ():
                if isinstance(command, str) and (one := self._attempts.pop(command, None)) is not None:
                    yield self._span(one, self._now, {names.OUTCOME: "revoked"})

    def _end_attempt(self, told: Told) -> Iterator[Span]:
        """End the attempt whose number the event says."""
        found, number = _ATTEMPT_ENDS.get(told.name), told.number("attempt")
        if found is None or number is None:
            return
        kind, outcome = found
        one = self._attempts.pop(message_id(self._id, told.text("step"), kind or told.text("kind"), number), None)
        if one is None:
            return
        started = _nanoseconds(told.text("started_at")) or _nanoseconds(told.text("claimed_at"))
        if started:
            one = one._replace(began=started)
        more: Attributes = {names.OUTCOME: outcome}
        failure = told.said.get("failure")
        if isinstance(failure, dict) and isinstance(fingerprint := failure.get("fingerprint"), str):
            more[names.FINGERPRINT] = fingerprint
        error = _error_of(told) or ("" if outcome in {"ok", "needs_approval"} else outcome)
        yield self._span(one, _nanoseconds(told.text("finished_at")) or self._now, more, error=error)

    def _end_kind(self, step: str, kind: str, outcome: str) -> Iterator[Span]:
        """End the attempts of a kind whose number the event does not say."""
        begin = f"{self._id}/{step}/{kind}/"
        for command in [one for one in self._attempts if one.startswith(begin)]:
            yield self._span(self._attempts.pop(command), self._now, {names.OUTCOME: outcome})

    def _end_wait(self, told: Told) -> Iterator[Span]:
        found = _WAIT_ENDS.get(told.name)
        if found is None:
            return
        reason, outcome = found
        one = self._waits.pop((told.text("step"), reason or told.text("reason")), None)
        if one is not None:
            yield self._span(one, self._now, {names.OUTCOME: outcome})

    def _end_work(self, told: Told) -> Iterator[Span]:
        found = _CLOSES.get(told.name)
        if found is None:
            return
        side, outcome = found
        step = told.text("step") or _ENGINE_STEPS.get(side, "")
        if side == "run":
            # Whatever the step still waited for came to nothing.
            for key in [key for key in self._waits if key[0] == step]:
                yield self._span(self._waits.pop(key), self._now, {names.OUTCOME: "ended"})
        one = self._work.pop((step, side), None)
        if one is not None:
            error = (_error_of(told) or outcome) if outcome == "failed" else ""
            yield self._span(one, self._now, {names.OUTCOME: outcome}, error=error)

    def _end_all(self, more: Attributes) -> Iterator[Span]:
        """Tell of all that is open, for the last time."""
        for begun in (self._attempts, self._waits, self._work):
            yield from (self._span(one, self._now, more) for one in begun.values())
        for begun in (self._attempts, self._waits, self._work):
            begun.clear()

    # --- spans --------------------------------------------------------------------------------------------------------

    def _span_id(self, kind: SpanOf, words: str) -> str:
        return f"{span_of(self._salt, kind, words):016x}"

    def _link(self, workflow_id: str) -> dict[str, str]:
        """A link to the span of another workflow."""
        return {
            "traceId": f"{trace_of(self._salt, workflow_id):032x}",
            "spanId": self._span_id("begun", workflow_id),
        }

    def _span(self, one: _Open, ended: int, more: Attributes, *, error: str = "") -> Span:
        attributes: Attributes = {names.WORKFLOW_ID: clean(self._id), **one.attributes, **more}
        if error:
            attributes[names.ERROR_TYPE] = error
        span: Span = {"traceId": self._trace, "spanId": one.span}
        if one.above:
            span["parentSpanId"] = one.above
        span |= {
            "name": one.name,
            "kind": _INTERNAL,
            "startTimeUnixNano": str(one.began),
            "endTimeUnixNano": str(max(one.began, ended)),
            "attributes": [_attribute(name, value) for name, value in attributes.items() if value != ""],
        }
        if one.links:
            span["links"] = list(one.links)
        span["status"] = {"code": _ERROR} if error else {}
        return span


def _error_of(told: Told) -> str:
    """The class of an event's failure; empty where it has none."""
    failure = told.said.get("failure")
    kind = failure.get("kind") if isinstance(failure, dict) else None
    return kind if isinstance(kind, str) else ""


def _nanoseconds(at: str) -> int:
    """Nanoseconds since 1970; 0 for what is no instant, or lies before."""
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return 0
    return max(0, (moment - _EPOCH) // _MICROSECOND * _NANOSECONDS) if moment.tzinfo is not None else 0


def _attribute(name: str, value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"key": name, "value": {"boolValue": value}}
    # Whole numbers of 64 bits are texts in the JSON of Protocol Buffers.
    return {"key": name, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}


def _line(spans: list[Span]) -> bytes:
    told: Mapping[str, Any] = {
        "resourceSpans": [
            {
                "resource": {"attributes": [_attribute("service.name", SERVICE)]},
                "scopeSpans": [{"scope": {"name": names.SCOPE}, "spans": spans, "schemaUrl": names.SCHEMA}],
                "schemaUrl": names.SCHEMA,
            }
        ]
    }
    return f"{json.dumps(told, ensure_ascii=False, separators=(',', ':'))}\n".encode()
