"""What of an event is the way that a workflow went, and what is data, where two runs are held side by side.

The way is what decides what happens next: which step, which activity, after which others, under which policies, with
which verdict, outcome and failure. Data are what the steps work on and what is said: inputs, outputs, evidence,
reasons, wherever they are copied to, a plan among them. Neither are time, ids, workers, and who decided.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from domain import events as e
from domain.failures import FailureClass
from domain.recorded import RecordedEvent
from projections.replaying.verdict import Difference, json_differences
from projections.replaying.words import plain

_LONG_ID: Final = 5
"""Ids at least so long are the same word in both runs where they stand in a text."""
_VALUE_CHARACTERS: Final = 60
_DIFFERENCES_SAID: Final = 3

Neutral = Callable[[str], str]
"""Takes out of a text what is another one in each run."""


class Parts(NamedTuple):
    """An event in two parts, as JSON."""

    way: dict[str, Any]
    data: dict[str, Any]


def neutral_for(events: Sequence[RecordedEvent]) -> Neutral:
    """Takes the workflow's own id, and the names of those who rejected, out of the texts of a history."""
    workflow_id = events[0].originator_id if events else ""
    words = {workflow_id: "ID"} if len(workflow_id) >= _LONG_ID else {}
    for recorded in events:
        if isinstance(recorded.event, e.ApprovalRejected):
            words[f"rejected by {', '.join(recorded.event.decided_by)}"] = "rejected"

    def neutral(text: str) -> str:
        for word, instead in words.items():
            if word in text:
                text = re.sub(rf"(?<![a-z0-9_.-]){re.escape(word)}(?![a-z0-9_-])", instead, text)
        return text

    return neutral


def parts_of(event: e.Event, neutral: Neutral) -> Parts:
    """The way and the data of an event."""
    fact: dict[str, Any] = _without(event.model_dump(mode="json", exclude=_NOT_COMPARED), neutral)
    said: dict[str, Any] = {}
    failure = fact.get("failure")
    if isinstance(failure, dict):
        fact["failure"], said = _failure(event, failure)
    if isinstance(event, e.ApprovalRequested):
        fact["action"] = {name: part for name, part in fact["action"].items() if name != "workflow"}
    decides = "reason" if isinstance(event, e.WaitStarted) else None
    data = {name: fact.pop(name) for name in list(fact) if name in _DATA and name != decides}
    if isinstance(event, e.PlanProposed):
        split = [_step(step) for step in fact["steps"]]
        fact["steps"], data["steps"] = [one.way for one in split], [one.data for one in split]
    return Parts({"event": event.stored_name, **fact}, {**data, **said})


def _failure(event: e.Event, failure: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a failure is, and what it says. Of a rejection the words are a reason, and so is its fingerprint."""
    if failure["kind"] != FailureClass.REJECTED:
        return {name: failure[name] for name in ("kind", "type", "fingerprint")}, {}
    said = {"failure": {"message": failure["message"]}} if isinstance(event, e.AttemptFailed) else {}
    return {name: failure[name] for name in ("kind", "type")}, said


def _step(step: dict[str, Any]) -> Parts:
    """A planned step: what decides, and what it works on; how long a wait for a time lasts decides nothing."""
    way, data = dict(step), {"input": step["input"]}
    del way["input"]
    way["after"] = sorted(step["after"])
    for kind, deciding in (("wait_time", ()), ("wait_signal", ("name",)), ("child", ("definition",))):
        given = step[kind]
        if given is not None:
            way[kind] = {name: given[name] for name in deciding}
            data[kind] = {name: part for name, part in given.items() if name not in deciding}
    return Parts(way, data)


def _without(value: Any, neutral: Neutral) -> Any:
    if isinstance(value, str):
        return neutral(value)
    if isinstance(value, dict):
        return {name: _without(part, neutral) for name, part in value.items()}
    if isinstance(value, list):
        return [_without(part, neutral) for part in value]
    return value


# --- where two ways differ ------------------------------------------------------------------------------------------


def way_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Difference]:
    """Where the ways of two events of one kind differ, by JSON pointers into the first that has such a part.

    Steps of plans are held side by side by their ids, so that a step more is told as such.
    """
    if one["event"] != e.PlanProposed.stored_name:
        yield from json_differences(one, other)
        return
    ours, theirs = ({step["id"]: (at, step) for at, step in enumerate(plan["steps"])} for plan in (one, other))
    left, right = ([name for name in plan if name in ours and name in theirs] for plan in (ours, theirs))
    for name, (at, step) in ours.items():
        if name in theirs:
            yield from json_differences(step, theirs[name][1], f"/steps/{at}")
        else:
            yield Difference(f"/steps/{at}", step, None)
    for name, (at, step) in theirs.items():
        if name not in ours:
            yield Difference(f"/steps/{at}", None, step)
    if left != right:
        yield Difference("/steps", list(ours), list(theirs))
    yield from json_differences({**one, "steps": None}, {**other, "steps": None})


def apart(words: Sequence[str], events: Sequence[e.Event], differences: Iterable[Difference]) -> tuple[str, str]:
    """The words of two events; where both say the same but for instants, with what differs behind them."""
    here, there = words
    told = list(differences)[:_DIFFERENCES_SAID]
    if not told or _INSTANT.sub("", here) != _INSTANT.sub("", there):
        return here, there
    named = [_named(one, events) for one in told]
    ours = "; ".join(f"{name} {_shown(one.recorded)}" for name, one in zip(named, told, strict=True))
    theirs = "; ".join(f"{name} {_shown(one.decided)}" for name, one in zip(named, told, strict=True))
    return f"{here} ({ours})", f"{there} ({theirs})"


def _named(difference: Difference, events: Sequence[e.Event]) -> str:
    """A part of an event as it is spoken of; of a step of a plan with the step's name.

    A path leads into the first plan, but for a step that only the second one has.
    """
    found = _OF_A_STEP.match(difference.path)
    plan = events[1] if found is not None and not found[2] and difference.recorded is None else events[0]
    if found is None or not isinstance(plan, e.PlanProposed):
        return difference.path[1:]
    step = plan.steps[int(found[1])].id
    return f"{step}: {found[2]}" if found[2] else step


def _shown(value: Any) -> str:
    return "nothing" if value is None else plain(json.dumps(value, ensure_ascii=False), _VALUE_CHARACTERS)


_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_OF_A_STEP: Final = re.compile(r"/steps/(\d+)(?:/(.*))?$")


# --- the parts by name ----------------------------------------------------------------------------------------------

_NOT_COMPARED: Final = {
    "trigger", "worker", "owner", "claimed_at", "started_at", "finished_at", "expires_at", "due_at", "delay_seconds",
    "deadline_at", "escalate_at", "probe_due_at", "message_id", "key", "digest", "action_digest", "revoked", "ended",
    "epoch", "doubted", "decided_by", "by", "requested_by", "barred", "supplied_by", "accepted_by", "settled_by",
    "child_workflow", "children", "effects", "undo", "parent_workflow", "parent_step", "source", "source_digest",
    "state", "redactable", "attempt", "size",
}  # fmt: skip

_DATA: Final = frozenset(
    {"definition", "definition_version", "goal", "input", "tags", "output", "payload", "action", "evidence",
     "artifacts", "controls", "proposed_controls", "reason", "detail", "name", "correlation", "policy_version"}
)  # fmt: skip
"""Parts that may differ while both go the same way."""
