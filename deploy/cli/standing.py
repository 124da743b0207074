"""Where a workflow stands, as far as the command line and the endpoint show the same of it; made for JSON."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from deploy.cli.pending import compensation_plan
from domain.state import State


def standing(state: State) -> dict[str, Any]:
    """All but the workflow's id, its steps and its waits: those are not the same in both."""
    return {
        "status": str(state.status),
        "version": state.version,
        "head": state.head,
        "goal": state.goal,
        "definition": state.definition,
        "definition_version": state.definition_version,
        "input": state.input,
        "requested_by": state.requested_by,
        "tags": state.tags,
        "started_at": iso(state.started_at),
        "changed_at": iso(state.changed_at),
        "deadline_at": iso(state.deadline_at),
        "ended_at": iso(state.ended_at),
        "reason": state.ended_reason,
        "parent_workflow": state.parent_workflow,
        "forked_from": state.forked_from,
        "forked_at": state.forked_at,
        "forks": state.forks,
        "controls": state.controls,
        "artifacts": [artifact.model_dump() for artifact in state.artifacts.values()],
        "output": state.output,
        "compensation_plan": [asdict(one) for one in compensation_plan(state)],
    }


def iso(moment: datetime | None) -> str | None:
    """An instant as text, where there is one."""
    return None if moment is None else moment.isoformat()
