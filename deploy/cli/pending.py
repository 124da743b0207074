"""What a workflow waits for, and the exact command that would move it. Pure: read from the state."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

from domain.state import PEOPLE_REASONS, Ballot, State, StepStatus, Wait

WHO: Final = "WHO"
"""Stands in a command for the name of whoever decides."""


@dataclass(frozen=True, slots=True)
class Place:
    """The options that lead another command to the same data: those that this one was given."""

    home: str | None = None
    modules: tuple[str, ...] = ()
    program: str = "handrail"

    def command(self, *words: str) -> str:
        """A command line of ours, quoted for the shell."""
        return shlex.join([self.program, *words, *self.options])

    @property
    def options(self) -> list[str]:
        """As words of a command line, not quoted yet."""
        home = [] if self.home is None else ["--home", self.home]
        return [*home, *(word for module in self.modules for word in ("--module", module))]

    def looking(self, *words: str) -> str:
        """A command line that only looks, and so needs no definitions."""
        return replace(self, modules=()).command(*words)


@dataclass(frozen=True, slots=True)
class Pending:
    """One thing that a workflow waits for. `commands` are what would move it; none where it moves by itself."""

    workflow_id: str
    step: str
    reason: str
    detail: str
    since: datetime | None
    due_at: datetime | None
    commands: tuple[str, ...]
    needs_person: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        moments = {name: None if at is None else at.isoformat() for name, at in self._moments()}
        return {**asdict(self), **moments, "commands": list(self.commands)}

    def _moments(self) -> Iterable[tuple[str, datetime | None]]:
        return ("since", self.since), ("due_at", self.due_at)


def at_rest(state: State) -> bool:
    """Whether nothing is under way: no attempt, no retry, no probe to come; what is left is waited for."""
    return state.blocked or (state.paused and not state.live)


def pendings(state: State, place: Place) -> list[Pending]:
    """All that the workflow waits for, in the order in which it began to; nothing where it has ended."""
    if state.ended is not None:
        return []
    found = []
    if state.paused:
        found.append(
            Pending(
                state.workflow_id, "", "paused", "paused by an operator", None, None,
                (place.command("unpause", state.workflow_id),), needs_person=True,
            )
        )  # fmt: skip
    several = len(state.ballots) > 1
    found += [_pending(state, wait, place, several=several) for wait in state.waits.values()]
    return found


def _pending(state: State, wait: Wait, place: Place, *, several: bool) -> Pending:
    return Pending(
        workflow_id=state.workflow_id,
        step=wait.step,
        reason=wait.reason,
        detail=_detail(state, wait),
        since=wait.since,
        due_at=wait.due_at,
        commands=tuple(_commands(state, wait, place, several=several)),
        needs_person=wait.reason in PEOPLE_REASONS or wait.reason == "definition",
    )


def _detail(state: State, wait: Wait) -> str:
    if wait.reason == "approval":
        ballot = state.ballots.get(wait.step)
        return wait.detail if ballot is None else f"{wait.detail}; {votes(ballot)}"
    if wait.reason == "signal":
        return f"signal {wait.name} for {wait.correlation}"
    if wait.reason == "child":
        return f"child workflow {wait.name}"
    return wait.detail


def votes(ballot: Ballot) -> str:
    """Who may decide, and how many have: `1 of 2 from alice, bob; not by carol`."""
    asked = ballot.request
    people = [*asked.approvers, *(asked.escalate_to if ballot.escalated else ())]
    who = "anyone" if "*" in people else ", ".join(people)
    text = f"{len(ballot.grants)} of {asked.required} from {who}"
    return text if not asked.barred else f"{text}; not by {', '.join(asked.barred)}"


def shown_parts(ballot: Ballot) -> list[tuple[str, Any]]:
    """What an approver looks at: the evidence, and the action. An activity's answer is the evidence, told once."""
    asked = ballot.request
    action = {name: value for name, value in asked.action.items() if name != "answer" or not asked.evidence}
    parts: list[tuple[str, Any]] = [("action", action)]
    return [("evidence", asked.evidence), *parts] if asked.evidence else parts


def _commands(state: State, wait: Wait, place: Place, *, several: bool) -> Iterable[str]:
    name, step = state.workflow_id, wait.step
    at = ("--step", step)
    if wait.reason == "approval":
        which = at if several else ()
        yield place.command("approve", name, "--by", WHO, *which)
        yield place.command("reject", name, "--by", WHO, *which, "--reason", "TEXT")
    elif wait.reason == "intervention":
        yield from (place.command(*words, "--reason", "TEXT") for words in _interventions(state, step))
    elif wait.reason == "outcome_unknown":
        yield place.command("settle", name, *at, "--as", "applied", "--reason", "TEXT")
        yield place.command("settle", name, *at, "--as", "not-applied", "--reason", "TEXT")
    elif wait.reason == "budget":
        yield place.command("extend", name, "--attempts", "10", "--reason", "TEXT")
    elif wait.reason == "definition":
        yield replace(place, modules=(*place.modules, "MODULE")).command("resume", name)
    elif wait.reason == "signal":
        yield place.command("signal", wait.name or "", wait.correlation or "", "--payload", "@FILE.json")
    elif wait.reason == "child":
        yield place.command("show", wait.name or "")


def _interventions(state: State, step: str) -> Iterable[tuple[str, ...]]:
    name = state.workflow_id
    yield "retry", name, "--step", step
    yield "skip", name, "--step", step
    undoing = state.undoing is not None and state.undoing.step == step
    if not undoing and not step.startswith("_"):
        yield "supply", name, "--step", step, "--output", "@FILE.json"
    if not state.compensating and state.stopping is None:
        yield "cancel", name


@dataclass(frozen=True, slots=True)
class Undoable:
    """One line of the compensation plan: an effect, and what undoes it (None: nothing can)."""

    step: str
    generation: int
    activity: str
    compensation: str | None
    state: str


def compensation_plan(state: State) -> list[Undoable]:
    """What a cancellation or failure would undo now, in that order."""
    return [
        Undoable(one.undo.step, one.undo.generation, one.undo.activity, one.undo.compensation, one.state)
        for one in reversed(state.effects.values())
    ]


def step_statuses(state: State) -> list[tuple[str, StepStatus]]:
    """Every step with its status, in the order of the plans."""
    numbered = [(step.number, name) for name, step in state.steps.items() if not name.startswith("_")]
    numbered += [(settled.number, name) for name, settled in state.settled.items()]
    return [(name, state.step_status(name)) for _, name in sorted(numbered)]
