"""Whether the references of a fixed plan can lead anywhere, as far as its definition declares what there is.

At run time a path that leads nowhere is null, and the step that was given it fails after those before it have had their
effects. So a definition is held to what it declares when it is made: to its steps and their order, and to the fields of
its input and of its activities' outputs as they are recorded. Where nothing is declared (`dict`, `Any`), every path may
lead somewhere. Nothing here is asked when a workflow runs, or is replayed.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from domain.activity_types import ActivityType
from domain.errors import NeedsApproval, PlanInvalid
from domain.plan import PlannedStep, referenced_step, references, referring

_MOST_NAMED: Final = 20
_DEEPEST: Final = 64
"""How many schemas within schemas are looked into; beyond that, anything may be there."""
_WORKFLOW_FIELDS: Final = ("id", "requested_by")
_PLAIN: Final = frozenset({"string", "integer", "number", "boolean", "null"})


class _Quiet(GenerateJsonSchema):
    """A schema is only read here: what of it cannot be written down is no matter."""

    ignored_warning_kinds: set[Literal["skipped-choice", "non-serializable-default", "skipped-discriminator"]] = {  # noqa: RUF012 - as pydantic has it
        "skipped-choice", "non-serializable-default", "skipped-discriminator"
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Shape:
    """A JSON schema, and the part of it that a path has come to."""

    whole: Mapping[str, Any]
    part: Any

    def below(self, name: str) -> list[_Shape] | None:
        """What may be there under a name; None where anything may, an empty list where nothing can be."""
        found: list[_Shape] = []
        for one in self.alternatives():
            if one is None:
                return None
            inner = one.named(name)
            if inner is None:
                return None
            found += inner
        return found

    def fields(self) -> list[str]:
        """The names of the fields that there are."""
        return [name for one in self.alternatives() if one is not None for name in one.part.get("properties", {})]

    def alternatives(self, depth: int = 0) -> Iterator[_Shape | None]:
        """The schemas that a value may have, without references and choices; None where anything may be there."""
        part = self.part
        if not isinstance(part, Mapping) or depth > _DEEPEST or "allOf" in part:
            yield None
        elif "$ref" in part:
            yield from _Shape(self.whole, self._defined(part["$ref"])).alternatives(depth + 1)
        elif choices := part.get("anyOf", part.get("oneOf")):
            for choice in choices:
                yield from _Shape(self.whole, choice).alternatives(depth + 1)
        else:
            yield self

    def _defined(self, reference: str) -> Any:
        return self.whole.get("$defs", {}).get(reference.removeprefix("#/$defs/"))

    def named(self, name: str) -> list[_Shape] | None:
        """What may be under a name in one of the alternatives; None where anything may."""
        kind = self.part.get("type")
        if kind == "array":
            inner = self.part.get("items")
            if not name.isdigit():
                return []
            return None if inner is None or "prefixItems" in self.part else [_Shape(self.whole, inner)]
        if kind in _PLAIN:
            return []
        fields = self.part.get("properties")
        if kind != "object" or fields is None:
            return None
        if name in fields:
            return [_Shape(self.whole, fields[name])]
        # A model that allows extras, and one whose fields have names by a pattern.
        return None if self.part.get("additionalProperties") or "patternProperties" in self.part else []


class _Declared:
    """What one definition declares: schemas are made once, and only of what a reference is about."""

    def __init__(
        self,
        plan: Sequence[PlannedStep],
        activities: Mapping[str, ActivityType],
        input_model: type[BaseModel] | None,
    ) -> None:
        self.own = {step.id: step for step in plan}
        self._activities = activities
        self._input_model = input_model
        self._shapes: dict[str, list[_Shape]] = {}

    def activity_of(self, step: str) -> ActivityType | None:
        return self._activities.get(self.own[step].activity or "")

    def output_of(self, step: str) -> list[_Shape]:
        """What a step's output may look like; nothing where that is not known."""
        declared = self.activity_of(step)
        if declared is None or _may_ask(declared.output_type):
            return []
        if declared.name not in self._shapes:
            self._shapes[declared.name] = _shapes(declared.output_adapter, ["serialization"])
        return self._shapes[declared.name]

    def input(self) -> list[_Shape]:
        """What the workflow's input may look like: as it is given, with what the model makes of it over that."""
        if self._input_model is None:
            return []
        return _shapes(TypeAdapter(self._input_model), ["serialization", "validation"])

    def before(self, step: str) -> set[str]:
        """The steps that have settled when this one begins."""
        found: set[str] = set()
        todo = list(self.own[step].after)
        while todo:
            name = todo.pop()
            if name in self.own and name not in found:
                found.add(name)
                todo += self.own[name].after
        return found


def check_references(
    plan: Sequence[PlannedStep],
    *,
    activities: Mapping[str, ActivityType],
    input_model: type[BaseModel] | None,
    place: str,
) -> None:
    """Raise PlanInvalid, naming place, step and reference, and what there is, where one can lead nowhere."""
    declared = _Declared(plan, activities, input_model)
    for step in plan:
        paths = list(dict.fromkeys(references(referring(step))))
        before = declared.before(step.id) if paths else set()
        for path in paths:
            trouble = _trouble(path, step, before, declared)
            if trouble:
                raise PlanInvalid(f"{place}, step {step.id!r}: reference {path!r} {trouble}")


def _trouble(path: str, step: PlannedStep, before: set[str], declared: _Declared) -> str:
    """Why a path can lead nowhere; nothing where it may lead somewhere."""
    root, _, rest = path.partition(".")
    if root in {"steps", "approvals"}:
        return _trouble_with_step(path, step, before, declared)
    if root == "workflow" and rest and rest not in _WORKFLOW_FIELDS:
        return f"leads nowhere: of the workflow there are {_listed(_WORKFLOW_FIELDS)}"
    if root == "input" and rest:
        return _trouble_below(declared.input(), rest, "the definition's input_model")
    return ""


def _trouble_with_step(path: str, step: PlannedStep, before: set[str], declared: _Declared) -> str:
    root, _, rest = path.partition(".")
    target = referenced_step(path, before) or ""
    if target not in before:
        other = referenced_step(path, declared.own) or ""
        if other not in declared.own:
            return f"names no step of this workflow: there are {_listed(declared.own)}"
        if other == step.id:
            return "names the step itself, which has nothing yet when it begins"
        return f"names step {other!r}, which need not have settled before this one begins: name it in after=[…]"
    below = rest[len(target) + 1 :]
    if root == "approvals" or not below:
        return ""
    activity = declared.activity_of(target)
    name = f"the output of step {target!r}" + (f" (activity {activity.name!r})" if activity is not None else "")
    return _trouble_below(declared.output_of(target), below, name)


def _trouble_below(shapes: Sequence[_Shape], path: str, name: str) -> str:
    """Follow a path through what is declared, as `lookup` follows it through a value."""
    if not shapes:
        return ""
    for part in path.split("."):
        found: list[_Shape] = []
        for shape in shapes:
            below = shape.below(part)
            if below is None:
                return ""
            found += below
        if not found:
            fields = list(dict.fromkeys(field for shape in shapes for field in shape.fields()))
            there = f"there are {_listed(fields)}" if fields else "nothing below it has a name"
            return f"leads nowhere: {name} has no {part!r}; {there}"
        shapes, name = found, f"{part!r} in {name}"
    return ""


def _shapes(adapter: TypeAdapter[Any], modes: Sequence[Literal["serialization", "validation"]]) -> list[_Shape]:
    """The schemas of a type; none where it has what no schema can say."""
    try:
        schemas = [adapter.json_schema(by_alias=True, schema_generator=_Quiet, mode=mode) for mode in modes]
    except Exception:  # noqa: BLE001 - an author's type may raise anything there: then nothing is known of it
        return []
    return [_Shape(schema, schema) for schema in schemas]


def _may_ask(annotation: Any) -> bool:
    """Whether it says that the activity may ask a person: then the output may be the evidence, of any form."""
    return any(isinstance(one, type) and issubclass(one, NeedsApproval) for one in typing.get_args(annotation))


def _listed(names: Sequence[str] | Mapping[str, object]) -> str:
    known = list(names)
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    return ", ".join(repr(name) for name in known[:_MOST_NAMED]) + more
