"""`handrail show`: where one workflow stands, and what would move it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from deploy.cli.exits import ExitCode
from deploy.cli.lines import one_line
from deploy.cli.outline import outline
from deploy.cli.pending import Pending, compensation_plan, pendings, shown_parts, step_statuses
from deploy.cli.screen import counted
from deploy.cli.session import Session
from deploy.cli.standing import iso, standing
from domain.ids import attempts_made
from domain.recorded import RecordedEvent
from domain.state import State
from projections.replaying.counting import aside_of

if TYPE_CHECKING:
    from domain.store.application import WorkflowStore


def print_workflow(session: Session, store: WorkflowStore, state: State) -> ExitCode:
    """Print a workflow's standing, as text or as one JSON object."""
    waits, events = pendings(state, session.place), _events_of(store, state)
    if session.screen.as_json:
        session.screen.document(as_document(state, waits, events))
    else:
        for line in as_text(state, waits, events):
            session.screen.text(line)
        if session.shared and any(one.reason == "approval" for one in waits):
            session.screen.note(
                "a decision that another service sent, and that is not to be seen here, was refused or waits: "
                "`handrail dead show approvals` says which, from whom, and why"
            )
    return ExitCode.COMPLETED


def _events_of(store: WorkflowStore, state: State) -> Iterator[RecordedEvent]:
    """The events that the state is made of, read when the first is asked for: most workflows are shown without them."""
    yield from store.read(state.workflow_id)[: state.version]


def as_document(state: State, waits: list[Pending], events: Iterable[RecordedEvent]) -> dict[str, Any]:
    """All that `show` says, as JSON; `events` are those folded into the state, asked for only where it takes them."""
    return {
        "workflow": state.workflow_id,
        **standing(state),
        "steps": list(_steps(state, events)),
        "approvals": {name: _approval(state, name) for name in (*state.grants, *state.ballots)},
        "waits": [one.as_dict() for one in waits],
    }


def _steps(state: State, events: Iterable[RecordedEvent]) -> Iterator[dict[str, Any]]:
    # The numbers are shared by what a step ran, was probed and was undone: only the events tell these apart.
    numbers = {name: attempts_made(number) for name, number in state.numbers.items()}
    aside = aside_of(events) if any(number > 1 for number in numbers.values()) else {}
    for name, status in step_statuses(state):
        hot, settled = state.steps.get(name), state.settled.get(name)
        probes, undoings = aside.get((name, "probe"), 0), aside.get((name, "compensate"), 0)
        made = numbers.get(name, 0) - probes - undoings
        step: dict[str, Any] = {"step": name, "status": str(status), "attempts": made}
        step |= {"probes": probes, "undo_attempts": undoings}
        if settled is not None:
            step |= {"activity": settled.activity, "output": settled.output, "failure": settled.failure}
        elif hot is not None:
            step["activity"] = hot.planned.activity if hot.planned is not None else None
            step |= {"generation": hot.generation, "idempotency_key": hot.key or None}
            step["failure"] = f"{hot.last_failure.kind}: {hot.last_failure.message}" if hot.last_failure else None
            step["retry_at"] = iso(state.dues.get(f"retry:{name}"))
        yield step


def _approval(state: State, step: str) -> dict[str, Any]:
    ballot = state.ballots.get(step)
    if ballot is None:
        grant = state.grants[step]
        return {
            "decision": grant.decision,
            "decided_by": grant.decided_by,
            "controls": grant.controls,
            "reason": grant.reason,
        }
    return {"decision": None, "granted_by": ballot.grants, **ballot.request.model_dump(mode="json", exclude_none=True)}


def as_text(state: State, waits: list[Pending], events: Iterable[RecordedEvent]) -> Iterator[str]:
    """All that `show` says, for people; `events` as for JSON."""
    yield f"{state.workflow_id}  {state.status}" + (f" ({one_line(state.ended_reason)})" if state.ended_reason else "")
    facts = {
        "goal": one_line(state.goal),
        "definition": f"{state.definition} {state.definition_version}",
        "requested by": f"{one_line(state.requested_by)}, {minute(state.started_at)}",
        "deadline": minute(state.deadline_at),
        "tags": ", ".join(f"{key}={value}" for key, value in state.tags.items()),
        "part of": state.parent_workflow or "",
        "forked from": f"{state.forked_from} at event {state.forked_at}" if state.forked_from else "",
        "forks": ", ".join(f"{fork} at event {version}" for fork, version in state.forks.items()),
        "ended": minute(state.ended_at),
    }
    for name, fact in facts.items():
        if fact:
            yield f"  {name:<13} {fact}"
    steps = list(_steps(state, events))
    if steps:
        yield "steps"
        width = max(len(step["step"]) for step in steps)
        for step in steps:
            yield f"  {step['step']:<{width}}  {_step_words(state, step)}".rstrip()
    if waits:
        yield "waits for"
        for one in waits:
            yield from _wait_lines(state, one)
    for name in state.dues:
        if name.startswith(("retry:", "probe:")):
            kind, _, step_name = name.partition(":")
            yield f"  {step_name.replace('~undo', 'compensation')}: {kind} at {minute(state.dues[name], seconds=True)}"
    yield from _plan_lines(state)
    if state.artifacts:
        yield "artifacts"
        for artifact in state.artifacts.values():
            yield f"  {one_line(artifact.name)}  {counted(artifact.size, 'byte')}  sha256 {artifact.digest}"


def _step_words(state: State, step: dict[str, Any]) -> str:
    words = [step["status"]]
    if step["attempts"] > 1:
        words.append(f"{step['attempts']} attempts")
    if step["probes"]:
        words.append(f"{step['probes']} probe{'' if step['probes'] == 1 else 's'}")
    if step["undo_attempts"] > 1:
        words.append(f"{step['undo_attempts']} attempts at undoing")
    grant = state.grants.get(step["step"])
    if grant is not None:
        words.append(f"{grant.decision} by {', '.join(grant.decided_by)}")
        words += [f"control: {control}" for control in grant.controls]
    if step.get("failure"):
        words.append(one_line(step["failure"]))
    return one_line("; ".join(words), 300)


def _wait_lines(state: State, one: Pending) -> Iterator[str]:
    due = f", until {minute(one.due_at)}" if one.due_at is not None else ""
    detail = f" ({one_line(one.detail)})" if one.detail else ""
    yield f"  {one.step + ': ' if one.step else ''}{one.reason}{detail}{due}"
    ballot = state.ballots.get(one.step) if one.reason == "approval" else None
    if ballot is not None:
        yield f"      digest    {ballot.request.digest}"
        for label, value in shown_parts(ballot):
            for number, line in enumerate(outline(value)):
                yield f"      {label if number == 0 else '':<9} {line}"
        if ballot.request.proposed_controls:
            yield f"      controls  {one_line('; '.join(ballot.request.proposed_controls))}"
    step = state.steps.get(one.step)
    if step is not None and step.key and one.reason in {"outcome_unknown", "intervention"}:
        yield f"      idempotency key  {step.key}"
    for command in one.commands:
        yield f"      {command}"


def _plan_lines(state: State) -> Iterator[str]:
    plan = compensation_plan(state)
    if state.ended is not None:
        # What stands is no plan any more: nothing will undo it.
        plan = [one for one in plan if one.state != "open"]
    if not plan:
        return
    yield "undone" if state.ended is not None else "compensation plan"
    for one in plan:
        how = f"by {one.compensation}" if one.compensation is not None else "cannot be undone (pivot)"
        yield f"  {one.step}  {how}" + ("" if one.state == "open" else f"  {one.state}")


def minute(moment: datetime | None, *, seconds: bool = False) -> str:
    """An instant to the minute, as people read it."""
    if moment is None:
        return ""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if seconds else f"{moment:%Y-%m-%d %H:%M} UTC"
