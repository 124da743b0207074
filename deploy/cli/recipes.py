"""`handrail definitions`: what is loaded, and what each definition is made of."""

from __future__ import annotations

import json
from typing import Any

from deploy.cli.exits import ExitCode
from deploy.cli.screen import Screen
from domain.definitions import Definition


def print_definitions(modules: tuple[str, ...], *, as_json: bool) -> ExitCode:
    """Print every definition of these modules and of the examples."""
    from deploy.loading import load

    loaded = load(modules)
    screen = Screen(as_json=as_json)
    if as_json:
        screen.text(json.dumps([as_document(one) for one in loaded], ensure_ascii=False, indent=2))
    else:
        for one in loaded:
            for line in as_text(one):
                screen.text(line)
    for name, why in loaded.not_loaded.items():
        screen.note(f"the example {name} is left out: {why}", "yellow")
    return ExitCode.COMPLETED


def as_document(one: Definition) -> dict[str, Any]:
    """A definition as JSON."""
    return {
        "name": one.name,
        "version": one.version,
        "plan": None if one.plan is None else [step.model_dump(mode="json", exclude_none=True) for step in one.plan],
        "planner": None if one.planner is None else one.planner.name,
        "activities": [
            {
                "name": activity.name,
                "effect": activity.effect,
                "compensation": activity.compensation,
                "pivot": activity.pivot,
                "reconcile": activity.reconcile,
                "queue": activity.queue,
                "retry": activity.retry.model_dump(mode="json"),
            }
            for activity in one.activities.values()
        ],
        "approvals": [policy.model_dump(mode="json") for policy in one.approvals.values()],
        "gates": [gate.model_dump(mode="json") for gate in one.gates],
        "input_schema": None if one.input_model is None else one.input_model.model_json_schema(),
    }


def as_text(one: Definition) -> list[str]:
    """A definition in a few lines."""
    lines = [f"{one.name}  version {one.version}"]
    if one.plan is not None:
        lines.append(f"  steps       {', '.join(step.id for step in one.plan)}")
    if one.planner is not None:
        lines.append(f"  planner     {one.planner.name}")
    lines.append(
        f"  activities  {', '.join(f'{activity.name} ({activity.effect})' for activity in one.activities.values())}"
    )
    if one.approvals:
        lines.append(f"  approvals   {', '.join(one.approvals)}")
    if one.input_model is not None:
        fields = one.input_model.model_fields.items()
        given = [name if field.is_required() else f"[{name}]" for name, field in fields]
        lines.append(f"  input       {', '.join(given)}")
    return lines
