"""Other policies, for a question of what would have been: read from a document, and put in the place of those at hand.

The parts are those of the policies' own models, and only what is named changes: `approvals.board.required = 2` leaves
the deadline of that policy as it is. What is not there (a policy, an activity, a step, a setting) is refused with what
there is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.activity_types import ActivityType
from domain.definitions import Definition, words
from domain.errors import DefinitionInvalid, InputInvalid
from domain.policies import ApprovalPolicy, GatePolicy, Policy, RetryPolicy

ALL: Final = "*"
"""Instead of a name: every policy of this kind, every activity."""

_ALIKE: Final = 0.6
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SHOWN: Final = 30

Parts = dict[str, Any]
Made = TypeVar("Made", bound=Policy)


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Retrying(_Document):
    """What changes of an activity, or of one step: its retries."""

    retry: Parts


class Changes(_Document):
    """What changes: policies by name, each with those of its settings that are other ones."""

    gates: dict[str, Parts] = Field(default_factory=dict)
    approvals: dict[str, Parts] = Field(default_factory=dict)
    activities: dict[str, Retrying] = Field(default_factory=dict)
    steps: dict[str, Retrying] = Field(default_factory=dict)
    new_gates: dict[str, Parts] = Field(default_factory=dict)
    new_approvals: dict[str, Parts] = Field(default_factory=dict)
    without_gates: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return not any(getattr(self, name) for name in Changes.model_fields)


class PolicyDocument(Changes):
    """A policy file: what changes for every definition that has it, and what changes for single ones."""

    definitions: dict[str, Changes] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unaskable:
    """A definition that the changes cannot be made to, and why."""

    why: str


class OtherPolicies:
    """The definitions at hand under the policies of a document."""

    def __init__(self, document: Any, definitions: Iterable[Definition], place: str) -> None:
        """Check it whole; raises InputInvalid, naming the place in the document and what there is."""
        self._place = place
        try:
            read = PolicyDocument.model_validate(document)
        except ValidationError as error:
            raise self._misshapen(error) from error
        if read.is_empty and all(changes.is_empty for changes in read.definitions.values()):
            raise InputInvalid(f"{place}: changes no policy; it may hold {_listed(PolicyDocument.model_fields)}")
        self._for_all = not Changes(**{name: getattr(read, name) for name in Changes.model_fields}).is_empty
        self._for = {words(name) for name in read.definitions}
        known = list(definitions)
        scopes = [("", Changes(**{name: getattr(read, name) for name in Changes.model_fields}), known)]
        for name, changes in read.definitions.items():
            meant = [one for one in known if words(one.name) == words(name)]
            if not meant:
                raise self._unknown(f"definitions.{name}", "definition", [one.name for one in known])
            scopes.append((f"definitions.{name}.", changes, meant))
        for prefix, changes, meant in scopes:
            self._check_names(prefix, changes, meant)
        self._other: dict[tuple[str, str], Definition | Unaskable] = {}
        for definition in known:
            self._make(definition, [(prefix, changes) for prefix, changes, meant in scopes if definition in meant])
        made = self._other.values()
        if made and all(isinstance(one, Unaskable) for one in made):
            raise InputInvalid(f"{place}: {next(one.why for one in made if isinstance(one, Unaskable))}")

    def may_concern(self, name: str) -> bool:
        """Whether the document may change anything about a definition of this name, which is not at hand."""
        return self._for_all or words(name) in self._for

    def concerns(self, name: str, version: str) -> bool:
        """Whether the document changes anything about this version of this definition."""
        return (name, version) in self._other

    def find(self, name: str, version: str) -> Definition | None:
        """The definition under the other policies; None where they do not concern it, or cannot be put in place."""
        found = self._other.get((name, version))
        return found if isinstance(found, Definition) else None

    def why_not(self, name: str, version: str) -> str:
        """Why the policies cannot be put in place in this version, or nothing."""
        found = self._other.get((name, version))
        return found.why if isinstance(found, Unaskable) else ""

    # --- putting them in place --------------------------------------------------------------------------------------

    def _make(self, definition: Definition, scopes: Sequence[tuple[str, Changes]]) -> None:
        concerned = [(prefix, changes) for prefix, changes in scopes if _concerns(changes, definition)]
        if not concerned:
            return
        gates = {gate.name: gate for gate in definition.gates}
        approvals = dict(definition.approvals)
        default = definition.default_approval
        activities = dict(definition.activities)
        steps: dict[str, RetryPolicy] = {}
        for prefix, changes in concerned:
            gates = self._changed(f"{prefix}gates", GatePolicy, gates, changes.gates)
            gates |= self._added(f"{prefix}new_gates", GatePolicy, gates, changes.new_gates)
            gates = {name: gate for name, gate in gates.items() if not {name, ALL}.intersection(changes.without_gates)}
            declared = self._changed(
                f"{prefix}approvals", ApprovalPolicy, {default.name: default, **approvals}, changes.approvals
            )
            default = declared[default.name]
            approvals = {name: declared[name] for name in approvals}
            approvals |= self._added(f"{prefix}new_approvals", ApprovalPolicy, approvals, changes.new_approvals)
            for name, one in _ordered(changes.activities):
                for activity in activities if name == ALL else [name] if name in activities else []:
                    declared_retry = activities[activity].retry
                    retry = self._merged(f"{prefix}activities.{name}.retry", declared_retry, one.retry)
                    activities[activity] = replace(activities[activity], retry=retry)
            for step in definition.plan or ():
                if step.id in changes.steps and step.activity is not None:
                    base = steps.get(step.id, activities[step.activity].retry)
                    parts = changes.steps[step.id].retry
                    steps[step.id] = self._merged(f"{prefix}steps.{step.id}.retry", base, parts)
        try:
            other: Definition | Unaskable = definition.with_policies(
                gates=tuple(gates.values()),
                approvals=tuple(approvals.values()),
                default_approval=default,
                activities=activities,
                steps=_of_steps(definition, activities, steps),
            )
        except DefinitionInvalid as error:
            other = Unaskable(str(error))
        self._other[definition.name, definition.version] = other

    def _changed(
        self, place: str, _: type[Made], there: Mapping[str, Made], given: Mapping[str, Parts]
    ) -> dict[str, Made]:
        made = dict(there)
        for name, parts in _ordered(given):
            for one in there if name == ALL else [name] if name in there else []:
                made[one] = self._merged(f"{place}.{name}", made[one], parts)
        return made

    def _added(
        self, place: str, kind: type[Made], there: Mapping[str, Made], given: Mapping[str, Parts]
    ) -> dict[str, Made]:
        for name in given:
            if name in there:
                raise InputInvalid(f"{self._place}: {place}.{name}: there is one of this name; change it without new_")
        return {name: self._read(f"{place}.{name}", kind, {}, {**parts, "name": name}) for name, parts in given.items()}

    def _merged(self, place: str, there: Made, parts: Parts) -> Made:
        """The policy with other parts; its name and version stay: they are in the digests that votes quote."""
        own = {name: getattr(there, name) for name in type(there).model_fields}
        for name in ("name", "version"):
            if name in own and parts.get(name, own[name]) != own[name]:
                raise InputInvalid(
                    f"{self._place}: {place}.{name}: stays {own[name]!r}, since what is recorded names it; leave it out"
                )
        return self._read(place, type(there), own, parts)

    def _read(self, place: str, kind: type[Made], own: Parts, parts: Parts) -> Made:
        unknown = next((name for name in parts if name not in kind.model_fields), None)
        if unknown is not None:
            raise self._unknown(f"{place}.{unknown}", "setting", sorted(kind.model_fields))
        spans = {name for name, field in kind.model_fields.items() if timedelta in _types(field.annotation)}
        given = {name: _span(value) if name in spans else value for name, value in parts.items()}
        try:
            return kind.model_validate({**own, **given})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join([place, *map(str, first["loc"])])
            hint = "; give seconds, or 90s, 4h, 2d, or PT4H" if spans.intersection(first["loc"][:1]) else ""
            message = f"{first['msg'].removeprefix('Value error, ')}{hint}"
            raise InputInvalid(f"{self._place}: {where}: {message}") from error

    # --- what there is ----------------------------------------------------------------------------------------------

    def _check_names(self, prefix: str, changes: Changes, meant: Sequence[Definition]) -> None:
        gates = {gate.name for one in meant for gate in one.gates}
        approvals = {name for one in meant for name in (*one.approvals, one.default_approval.name)}
        activities = {name for one in meant for name in one.activities}
        steps = {step.id for one in meant for step in one.plan or () if step.activity is not None}
        for kind, word, given, there in (
            ("gates", "gate", changes.gates, gates),
            ("without_gates", "gate", changes.without_gates, gates),
            ("approvals", "approval policy", changes.approvals, approvals),
            ("activities", "activity", changes.activities, activities),
        ):
            for name in given:
                if name not in there and name != ALL:
                    raise self._unknown(f"{prefix}{kind}.{name}", word, sorted(there))
        for name in changes.steps:
            if name not in steps:
                word = "step that runs an activity in a fixed plan (of others, name the activity)"
                raise self._unknown(f"{prefix}steps.{name}", word, sorted(steps))

    def _unknown(self, where: str, word: str, there: Iterable[str]) -> InputInvalid:
        known = list(dict.fromkeys(there))
        alike = difflib.get_close_matches(where.rpartition(".")[2], known, n=1, cutoff=_ALIKE)
        meant = f"; is {alike[0]!r} meant?" if alike else ""
        return InputInvalid(f"{self._place}: {where}: there is no such {word}; there is: {_listed(known)}{meant}")

    def _misshapen(self, error: ValidationError) -> InputInvalid:
        all_ = error.errors(include_url=False, include_input=False)
        # A misspelt name leaves another one missing: the slip is the name.
        first = next((one for one in all_ if one["type"] == "extra_forbidden"), all_[0])
        where = [str(part) for part in first["loc"]]
        if first["type"] != "extra_forbidden":
            return InputInvalid(f"{self._place}: {'.'.join(where) or 'the whole'}: {first['msg']}")
        level: type[BaseModel] = PolicyDocument
        if where[:1] == ["definitions"]:
            level, inner = Changes, where[2:]
        else:
            inner = where
        if inner[:1] in (["activities"], ["steps"]) and len(inner) > 1:
            level = Retrying
        return self._unknown(".".join(where), "setting", level.model_fields)


def _concerns(changes: Changes, definition: Definition) -> bool:
    approvals = {*definition.approvals, definition.default_approval.name}
    gates = {gate.name for gate in definition.gates}
    named: tuple[tuple[Iterable[str], Callable[[], Iterable[str]]], ...] = (
        (changes.gates, lambda: gates),
        (changes.without_gates, lambda: gates),
        (changes.approvals, lambda: approvals),
        (changes.activities, lambda: definition.activities),
    )
    if changes.new_gates or changes.new_approvals:
        return True
    if any(name == ALL or name in there() for given, there in named for name in given):
        return True
    return not {step.id for step in definition.plan or () if step.activity is not None}.isdisjoint(changes.steps)


def _ordered(given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What is for all comes first: what has a name goes before it."""
    return sorted(given.items(), key=lambda one: one[0] != ALL)


def _of_steps(
    definition: Definition, activities: Mapping[str, ActivityType], retries: Mapping[str, RetryPolicy]
) -> dict[str, ActivityType]:
    return {
        step.id: replace(activities[step.activity], retry=retries[step.id])
        for step in definition.plan or ()
        if step.activity is not None and step.id in retries
    }


def _types(annotation: Any) -> tuple[Any, ...]:
    return (annotation, *getattr(annotation, "__args__", ()))


def _span(value: Any) -> Any:
    """A length of time as people write it, 90s, 4h, 2d; anything else is left to the model."""
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    try:
        return timedelta(**{_UNITS[found[2]]: float(found[1])}) if found is not None else value
    except OverflowError:
        return value


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return ", ".join(known[:_SHOWN]) + more if known else "none"
