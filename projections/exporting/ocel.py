"""An export as OCEL 2.0 (JSON): events and the objects that they are about, for object-centric process mining.

Objects are workflows, steps, approvals, persons and workers; a child is a workflow. Events and objects stand in one
document, the events first: what is known of objects waits on the disk until then, so that memory holds one workflow at
a time. deploy/docs/exports.md says what is what, deploy/schemas/exports/ocel.json is the schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from domain.ids import approval_id
from domain.nodes.observer import LATE, PROBE
from projections.exporting.ocel_types import (
    FAILURE,
    FIELDS,
    UNKNOWN,
    WITH_FAILURE,
    Kind,
    event_types,
    object_types,
)
from projections.exporting.reading import Exported, definition_in
from projections.exporting.spool import Spool
from projections.exporting.telling import Teller, Told, in_utc

ALWAYS: Final = "1970-01-01T00:00:00Z"
"""The instant of what an object has from its beginning."""

PERSONS: Final = ("requested_by", "decided_by", "by", "settled_by", "supplied_by", "accepted_by")
"""Where a payload names persons."""
WORKERS: Final = ("worker", "owner")
_NO_PERSONS: Final = frozenset({PROBE, LATE})
"""What settles an outcome and is nobody."""

_ENDS: Final = {
    "WorkflowCompleted": ("workflow", "completed"),
    "WorkflowFailed": ("workflow", "failed"),
    "WorkflowCancelled": ("workflow", "cancelled"),
    "WorkflowCompensated": ("workflow", "compensated"),
    "StepSucceeded": ("step", "succeeded"),
    "StepFailed": ("step", "failed"),
    "StepSkipped": ("step", "skipped"),
    "StepCompensated": ("step", "undone"),
    "ApprovalGranted": ("approval", "granted"),
    "ApprovalRejected": ("approval", "rejected"),
    "ApprovalExpired": ("approval", "expired"),
}

_OF_KIND: Final[dict[Kind, Callable[[Any], bool]]] = {
    "string": lambda found: isinstance(found, str),
    "integer": lambda found: type(found) is int,
    "float": lambda found: type(found) in (int, float),
    "boolean": lambda found: type(found) is bool,
    "time": lambda found: in_utc(found) != "",
}


class Ocel:
    """One export as OCEL 2.0."""

    def __init__(self, teller: Teller) -> None:
        """Nothing is written yet."""
        self._teller = teller

    def lines(self, histories: Iterable[Exported]) -> Iterator[bytes]:
        """The file: types, a line for each event, a line for each object."""
        yield b'{"objectTypes":[\n%b\n],\n' % b",\n".join(_json(one) for one in object_types())
        yield b'"eventTypes":[\n%b\n],\n"events":[' % b",\n".join(_json(one) for one in event_types())
        with Spool() as spool:
            between = b"\n"
            for exported in histories:
                for line in _Workflow(exported, spool).events(self._teller):
                    yield between + line
                    between = b",\n"
            yield b'\n],\n"objects":['
            between = b"\n"
            for line in spool.lines():
                yield between + line
                between = b",\n"
            for name in spool.missing():
                # Of a workflow that is not in this export nothing is known but that others refer to it.
                yield between + _object("workflow", name)
                between = b",\n"
        yield b"\n]}\n"


class _Workflow:
    """One workflow: its events, and what they say of its objects, which goes to the spool at its end."""

    def __init__(self, exported: Exported, spool: Spool) -> None:
        self._exported = exported
        self._spool = spool
        self._id = f"workflow:{exported.workflow_id}"
        self._at = ALWAYS
        self._objects: dict[str, _Object] = {self._id: _Object("workflow")}

    def events(self, teller: Teller) -> Iterator[bytes]:
        """The lines of the events."""
        number = 0
        workflow = self._objects[self._id]
        for number, told in enumerate(teller.events_of(self._exported), start=1):
            self._at = told.at or self._at
            if number == 1:
                definition, version = definition_in(told.row)
                workflow.set("definition", definition)
                workflow.set("definition_version", version)
                workflow.set("began_at", told.at)
            yield _json(
                {
                    "id": f"{self._exported.workflow_id}/{told.row.version}",
                    "type": told.row.topic if told.row.topic in FIELDS else UNKNOWN,
                    "time": self._at,
                    "attributes": list(_attributes(told)),
                    "relationships": self._relations(told),
                }
            )
        workflow.set("events", number)
        self._spool.add((name, one.line(name)) for name, one in self._objects.items())

    def _relations(self, told: Told) -> list[dict[str, str]]:
        """What an event is about, each object once; and what it says of those objects."""
        found: dict[str, str] = {self._id: "workflow"}
        said = told.said
        step = told.text("step")
        if step:
            found[self._step(step)] = "step"
        if told.name == "PlanProposed":
            planned = (one.get("id") for one in _listed(said.get("steps")) if isinstance(one, dict))
            found |= {self._step(name): "planned" for name in planned if isinstance(name, str)}
        elif told.name == "CompensationStarted":
            found |= {self._step(name): "to be undone" for name in _texts(said.get("steps")) if name}
        approval = self._approval(told, step)
        if approval is not None:
            found[approval] = "approval"
        for field in PERSONS:
            for name in _texts(said.get(field)):
                if name and not (field == "settled_by" and name in _NO_PERSONS):
                    found.setdefault(self._once("person", name), field.replace("_", " "))
        for field in WORKERS:
            if name := told.text(field):
                found.setdefault(self._once("worker", name), "worker")
        for name, qualifier in self._others(told):
            found.setdefault(name, qualifier)
        self._learn(told, step, approval)
        return [{"objectId": name, "qualifier": qualifier} for name, qualifier in found.items()]

    def _others(self, told: Told) -> Iterator[tuple[str, str]]:
        """Other workflows that an event is about: children, the parent, the source of a fork, a fork."""
        mine, step = self._objects[self._id], told.text("step")
        for child in (told.text("child_workflow"), *_texts(told.said.get("children"))):
            if child:
                name = self._refer(child)
                if step:
                    self._objects[self._step(step)].relate(name, "awaits")
                yield name, "child"
        if parent := told.text("parent_workflow"):
            mine.relate(self._refer(parent), "child of")
            yield self._refer(parent), "parent"
        if told.name == "WorkflowForked" and (source := told.text("source")):
            mine.relate(self._refer(source), "forked from")
            yield self._refer(source), "source"
        if told.name == "ForkTaken" and (fork := told.text("fork")):
            yield self._refer(fork), "fork"

    def _learn(self, told: Told, step: str, approval: str | None) -> None:
        """Keep what an event says of the objects that it is about."""
        if told.name == "StepScheduled" and step and told.text("kind") == "run":
            one = self._objects[self._step(step)]
            one.set("activity", told.text("activity"))
            one.set("attempts", one.attempts + 1, self._at)
        elif told.name == "ApprovalRequested" and approval is not None:
            one = self._objects[approval]
            one.set("policy", told.text("policy"))
            one.set("policy_version", told.text("policy_version"))
            one.set("required", told.number("required"))
        if (end := _ENDS.get(told.name)) is not None:
            kind, ended = end
            name = {"workflow": self._id, "step": self._step(step) if step else None, "approval": approval}[kind]
            if name is not None:
                self._objects[name].set("ended_as", ended, self._at)

    def _step(self, step: str) -> str:
        name = f"step:{self._exported.workflow_id}/{step}"
        if name not in self._objects:
            self._objects[name] = _Object("step", {self._id: "step of"})
        return name

    def _approval(self, told: Told, step: str) -> str | None:
        """The approval that an event is about; a refused decision may name one that there never was."""
        if not told.name.startswith("Approval"):
            name = f"approval:{self._exported.workflow_id}/{told.text('approval_id')}"
            return name if name in self._objects else None
        number = told.number("round")
        if not step or number is None:
            return None
        name = f"approval:{self._exported.workflow_id}/{approval_id(step, number)}"
        if name not in self._objects:
            self._objects[name] = _Object("approval", {self._step(step): "approval of"})
        return name

    def _once(self, kind: str, name: str) -> str:
        """A person or a worker, who may be known from other workflows."""
        self._spool.add_once(f"{kind}:{name}", _object(kind, f"{kind}:{name}"))
        return f"{kind}:{name}"

    def _refer(self, workflow_id: str) -> str:
        self._spool.refer(f"workflow:{workflow_id}")
        return f"workflow:{workflow_id}"


class _Object:
    """What is known of one object of a workflow."""

    def __init__(self, kind: str, related: dict[str, str] | None = None) -> None:
        self._kind = kind
        self._attributes: dict[str, tuple[str, Any]] = {}
        self._related = related or {}

    @property
    def attempts(self) -> int:
        """How many attempts a step had so far."""
        _, number = self._attributes.get("attempts", (ALWAYS, 0))
        return int(number)

    def set(self, name: str, value: str | int | None, at: str = ALWAYS) -> None:
        """From this instant on it has this value; what was before is in the events."""
        if value not in ("", None):
            self._attributes[name] = (at, value)

    def relate(self, name: str, qualifier: str) -> None:
        """It has to do with this other object."""
        self._related[name] = qualifier

    def line(self, name: str) -> bytes:
        """As it stands in the file."""
        return _object(self._kind, name, self._attributes, self._related)


def _object(
    kind: str,
    name: str,
    attributes: dict[str, tuple[str, Any]] | None = None,
    related: dict[str, str] | None = None,
) -> bytes:
    return _json(
        {
            "id": name,
            "type": kind,
            "attributes": [
                {"name": key, "time": at, "value": value} for key, (at, value) in (attributes or {}).items()
            ],
            "relationships": [{"objectId": other, "qualifier": word} for other, word in (related or {}).items()],
        }
    )


def _attributes(told: Told) -> Iterator[dict[str, Any]]:
    """The attributes of an event, in the order of their declaration."""
    topic = told.row.topic
    header = {
        "event_version": told.row.version,
        "actor": told.header("actor"),
        "cause": told.header("cause"),
        "decision_version": told.decision,
        "engine": told.header("engine"),
        "shown": told.how,
        "event_digest": told.row.digest,
    }
    for name, value in header.items():
        if value not in ("", None):
            yield {"name": name, "value": value}
    if topic not in FIELDS:
        yield {"name": "topic", "value": topic}
        return
    for name, kind in FIELDS[topic].items():
        found = told.said.get(name)
        if found is not None and _OF_KIND[kind](found):
            yield {"name": name, "value": in_utc(found) if kind == "time" else found}
    failure = told.said.get("failure") if topic in WITH_FAILURE else None
    if isinstance(failure, dict):
        for name, (field, kind) in FAILURE.items():
            if _OF_KIND[kind](failure.get(field)):
                yield {"name": name, "value": failure[field]}


def _texts(found: Any) -> list[str]:
    """A text, or the texts of a list, as a list."""
    return [found] if isinstance(found, str) else [one for one in _listed(found) if isinstance(one, str)]


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
