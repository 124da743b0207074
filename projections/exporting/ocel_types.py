"""The types of events and objects in an OCEL 2.0 export, with the types of their attributes.

They are the same in every export, whatever is in it. An event's attributes are its header's and every text, number,
truth value and instant of its payload, by the names that they are stored under.
"""

from __future__ import annotations

from datetime import datetime
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from domain.events import STORED, Event
from domain.failures import Failure
from domain.recorded import stored_topic

Kind = Literal["string", "time", "integer", "float", "boolean"]
"""The types of values that OCEL 2.0 has."""

UNKNOWN: Final = "unknown"
"""The type of an event whose name is none that this version of Handrail stores."""

HEADER: Final[dict[str, Kind]] = {
    "event_version": "integer",
    "actor": "string",
    "cause": "string",
    "decision_version": "integer",
    "engine": "string",
    "shown": "string",
    "event_digest": "string",
}
"""What is told of every event; payloads have a version or a digest of something else."""
FAILURE: Final[dict[str, tuple[str, Kind]]] = {
    "failure_class": ("kind", "string"),
    "failure_type": ("type", "string"),
    "failure_message": ("message", "string"),
    "failure_fingerprint": ("fingerprint", "string"),
}
"""What is told of a failure: the attribute, and what it is called in the failure."""

OBJECTS: Final[dict[str, dict[str, Kind]]] = {
    "workflow": {
        "definition": "string",
        "definition_version": "string",
        "began_at": "time",
        "ended_as": "string",
        "events": "integer",
    },
    "step": {"activity": "string", "attempts": "integer", "ended_as": "string"},
    "approval": {"policy": "string", "policy_version": "string", "required": "integer", "ended_as": "string"},
    "person": {},
    "worker": {},
}

_KINDS: Final[dict[type, Kind]] = {
    str: "string",
    datetime: "time",
    int: "integer",
    float: "float",
    bool: "boolean",
}


def _kind_of(annotation: Any) -> Kind | None:
    """The type of what a field holds; None where it is no single value."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = {_kind_of(one) for one in get_args(annotation) if one is not type(None)}
        return kinds.pop() if len(kinds) == 1 else None
    if get_origin(annotation) is Literal:
        return "string"
    return _KINDS.get(annotation)


def _fields_of(model: type[Event]) -> dict[str, Kind]:
    found = {name: _kind_of(info.annotation) for name, info in model.model_fields.items()}
    return {name: kind for name, kind in found.items() if kind is not None}


def _has_failure(model: type[Event]) -> bool:
    field = model.model_fields.get("failure")
    return field is not None and (field.annotation is Failure or Failure in get_args(field.annotation))


FIELDS: Final[dict[str, dict[str, Kind]]] = {
    **{stored_topic(*key): _fields_of(model) for key, model in sorted(STORED.items())},
    UNKNOWN: {"topic": "string"},
}
"""Of each type of event the attributes that come from its payload."""
WITH_FAILURE: Final = frozenset(stored_topic(*key) for key, model in STORED.items() if _has_failure(model))


def object_types() -> list[dict[str, Any]]:
    """The declarations of the types of objects."""
    return [{"name": name, "attributes": _declared(attributes)} for name, attributes in OBJECTS.items()]


def event_types() -> list[dict[str, Any]]:
    """The declarations of the types of events."""
    return [
        {
            "name": name,
            "attributes": _declared(
                HEADER | fields | ({name: kind for name, (_, kind) in FAILURE.items()} if name in WITH_FAILURE else {})
            ),
        }
        for name, fields in FIELDS.items()
    ]


def _declared(attributes: dict[str, Kind]) -> list[dict[str, str]]:
    return [{"name": name, "type": kind} for name, kind in attributes.items()]
