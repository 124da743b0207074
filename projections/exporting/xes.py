"""An export as XES (IEEE 1849): a trace for each workflow, in it an event for each stored one, for process mining.

What a miner calls an activity is a step, its undoing, its approval, its wait; the lifecycle says what became of it. An
event that belongs to none of these is an activity of its own name that is complete at once. deploy/docs/exports.md has
the table, deploy/schemas/exports/xes.xsd the schema.

Everything beyond ASCII is written as character references: readers that cut a file into pieces of bytes bear that.
Characters that XML 1.0 does not have are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from domain.ids import ARTIFACT_STEP, PLAN_STEP
from projections.exporting.reading import Exported, definition_in
from projections.exporting.telling import Teller, Told, reason_in

BEGINNING: Final = """<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1849.2016" xes.features="">
<extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
<extension name="Lifecycle" prefix="lifecycle" uri="http://www.xes-standard.org/lifecycle.xesext"/>
<extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
<extension name="Organizational" prefix="org" uri="http://www.xes-standard.org/org.xesext"/>
<global scope="trace">
<string key="concept:name" value=""/>
</global>
<global scope="event">
<string key="concept:name" value=""/>
<string key="lifecycle:transition" value="unknown"/>
<date key="time:timestamp" value="1970-01-01T00:00:00Z"/>
<string key="event" value=""/>
<int key="version" value="0"/>
<string key="shown" value="whole"/>
</global>
<classifier name="Activity" scope="event" keys="concept:name"/>
<classifier name="Transition" scope="event" keys="concept:name lifecycle:transition"/>
<classifier name="Event" scope="event" keys="event"/>
<string key="lifecycle:model" value="standard"/>
"""
END: Final = "</log>\n"

STEP: Final = "{step}"
ATTEMPT: Final = "{attempt}"
"""An activity by the kind of its attempt: the step, or what undoes it, asks about it, plans, writes."""

ACTIVITIES: Final[dict[str, tuple[str, str]]] = {
    "WorkflowStarted": ("workflow", "start"),
    "WorkflowForked": ("workflow", "start"),
    "WorkflowPaused": ("workflow", "suspend"),
    "WorkflowResumed": ("workflow", "resume"),
    "WorkflowCompleted": ("workflow", "complete"),
    "WorkflowFailed": ("workflow", "pi_abort"),
    "WorkflowCancelled": ("workflow", "pi_abort"),
    "WorkflowCompensated": ("workflow", "pi_abort"),
    "StepScheduled": (ATTEMPT, "schedule"),
    "StepSucceeded": (STEP, "complete"),
    "AttemptFailed": (ATTEMPT, "ate_abort"),
    "AttemptLapsed": (ATTEMPT, "ate_abort"),
    "CommandDeadLettered": (ATTEMPT, "ate_abort"),
    "StepTimedOut": (ATTEMPT, "ate_abort"),
    "StepSkipped": (STEP, "autoskip"),
    "PlanProposed": ("plan", "complete"),
    "PlanRejected": ("plan", "ate_abort"),
    "ArtifactRecorded": ("artifact", "complete"),
    "ApprovalRequested": ("approve {step}", "schedule"),
    "ApprovalEscalated": ("approve {step}", "reassign"),
    "ApprovalGranted": ("approve {step}", "complete"),
    "ApprovalRejected": ("approve {step}", "complete"),
    "ApprovalExpired": ("approve {step}", "ate_abort"),
    "WaitStarted": ("wait {step}", "start"),
    "WaitSatisfied": ("wait {step}", "complete"),
    "WaitTimedOut": ("wait {step}", "ate_abort"),
    "ChildStarted": ("child {step}", "start"),
    "ChildEnded": ("child {step}", "complete"),
    "StepCompensated": ("undo {step}", "complete"),
}
"""Of each event that belongs to an activity: which one, and its transition in the standard lifecycle of XES."""

_KINDS: Final = {"run": STEP, "compensate": "undo {step}", "probe": "probe {step}"}
_ENGINE_STEPS: Final = {PLAN_STEP: "plan", ARTIFACT_STEP: "artifact", "": "workflow"}
_BY_HAND: Final = "manualskip"

_ESCAPED: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Xes:
    """One export as XES."""

    def __init__(self, teller: Teller) -> None:
        """Nothing is written yet."""
        self._teller = teller

    def lines(self, histories: Iterable[Exported]) -> Iterator[bytes]:
        """The file: its beginning, a piece for each event, its end."""
        yield BEGINNING.encode()
        for exported in histories:
            yield from (piece.encode("ascii", "xmlcharrefreplace") for piece in self._trace(exported))
        yield END.encode()

    def _trace(self, exported: Exported) -> Iterator[str]:
        yield f"<trace>\n{_always('concept:name', exported.workflow_id)}"
        # Attributes of the trace stand before its events, which are not held: what only the last ones say is in them.
        at, by_hand = "1970-01-01T00:00:00Z", None
        for number, told in enumerate(self._teller.events_of(exported)):
            if number == 0:
                definition, version = definition_in(told.row)
                yield _string("definition", definition) + _string("definition_version", version)
            at = told.at or at
            if told.name == "InterventionApplied":
                by_hand = told.decision
            yield _event(told, at, skipped_by_hand=by_hand is not None and by_hand == told.decision)
        yield "</trace>\n"


def _event(told: Told, at: str, *, skipped_by_hand: bool) -> str:
    row = told.row
    activity, transition = activity_of(told)
    if told.name == "StepSkipped" and skipped_by_hand:
        transition = _BY_HAND
    parts = [
        "<event>\n",
        _always("concept:name", activity),
        _always("lifecycle:transition", transition),
        f'<date key="time:timestamp" value="{at}"/>\n',
        _string("org:resource", told.header("actor")),
        _always("event", row.topic),
        f'<int key="version" value="{row.version}"/>\n',
        _always("shown", told.how),
        _string("step", told.text("step")),
        _string("kind", told.text("kind")),
    ]
    if (attempt := told.number("attempt")) is not None:
        parts.append(f'<int key="attempt" value="{attempt}"/>\n')
    parts += [_string("reason", reason_in(told.said)), _string("cause", told.header("cause"))]
    if told.decision is not None:
        parts.append(f'<int key="decision" value="{told.decision}"/>\n')
    parts += [_string("digest", row.digest), "</event>\n"]
    return "".join(parts)


def activity_of(told: Told) -> tuple[str, str]:
    """What a miner is to call the activity, and its transition."""
    name, step = told.name, told.text("step")
    found = ACTIVITIES.get(name)
    if found is None:
        return name, "complete"
    activity, transition = found
    if "{" not in activity:
        return activity, transition
    if told.how in {"withheld", "damaged"}:
        # Of which step it is cannot be told.
        return name, transition
    if activity == ATTEMPT:
        activity = _KINDS.get(told.text("kind"), STEP)
    return activity.replace(STEP, _ENGINE_STEPS.get(step, step)), transition


def _string(key: str, value: str) -> str:
    """A text as an attribute; nothing where it is empty."""
    return _always(key, value) if value else ""


def _always(key: str, value: str) -> str:
    return f'<string key="{key}" value="{escaped(value)}"/>\n'


def escaped(text: str) -> str:
    """A text as it stands in an attribute of XML 1.0; what that cannot hold is left out."""
    return _NOT_XML.sub("", text).translate(_ESCAPED)
