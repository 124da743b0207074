"""What a person at the command line does: looks where the workflow stands, and gives the command that moves it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from domain.ids import idempotency_key
from domain.state import State, Wait
from tests.crash.books import receipt_for
from tests.crash.outside import Outside

APPROVER = "alice"
OPERATOR = "olga"


@dataclass(frozen=True)
class Person:
    """The person behind one workflow."""

    workflow: str
    goal: str
    signals: bool = False
    """Whether somebody sends word, before it begins, that it was paid for."""
    answer: Literal["approve", "reject", "cancel"] = "approve"
    """What is said when an approval is asked for."""

    def before(self) -> tuple[tuple[str, ...], ...]:
        """What is done before the workflow is started."""
        paid = ("signal", "paid", self.workflow, "--by", APPROVER, "--payload", '{"at": "the counter"}')
        return (paid,) if self.signals else ()

    def begin(self) -> tuple[str, ...]:
        """Start it; the same again goes on with it."""
        return ("run", "--goal", self.goal, "--id", self.workflow, "--by", "rita")

    def go_on(self) -> tuple[str, ...]:
        """Have it go on after a crash."""
        return ("resume", self.workflow)

    def stands(self, look: Callable[[str], State | None]) -> State | None:
        """Where stands what the person cares about; None where there is nothing yet."""
        return look(self.workflow)

    def next_command(self, state: State | None, outside: Outside) -> tuple[str, ...] | None:
        """What moves the workflow from where it stands; None where it has ended."""
        if state is None:
            return self.begin()
        if state.ended is not None:
            return None
        for wait in state.people_waits():
            return self._answer(state, wait, outside)
        return self.go_on()

    def _answer(self, state: State, wait: Wait, outside: Outside) -> tuple[str, ...]:
        if wait.reason == "approval":
            return self._decide(state, wait.step)
        if wait.reason == "outcome_unknown":
            return self._settle(state, wait.step, outside)
        if wait.reason == "intervention":
            return ("skip", self.workflow, "--step", wait.step, "--by", OPERATOR, "--reason", "not needed any more")
        message = f"{self.workflow} waits for {wait.reason} of {wait.step}: {wait.detail}"
        raise AssertionError(message)

    def _decide(self, state: State, step: str) -> tuple[str, ...]:
        """Decide on an approval, or have enough of it all."""
        if self.answer == "cancel":
            return ("cancel", self.workflow, "--by", OPERATOR, "--reason", "no longer wanted")
        digest = ("--digest", state.ballots[step].request.digest[:12])
        why = () if self.answer == "approve" else ("--reason", "no contract")
        return (self.answer, self.workflow, "--by", APPROVER, "--step", step, *digest, *why)

    def _settle(self, state: State, step: str, outside: Outside) -> tuple[str, ...]:
        """Look outside, and say what is true."""
        key = idempotency_key(self.workflow, step, "run", state.steps[step].generation)
        applied = outside.books().stands(key)
        if not applied:
            outside.find_absent(self.workflow, step, key)
        said = ("applied", "--output", json.dumps({"receipt": receipt_for(key)})) if applied else ("not-applied",)
        return ("settle", self.workflow, "--step", step, "--by", OPERATOR, "--reason", "asked the bank", "--as", *said)


CUT = 3
"""Where the forker cuts: the end of a workflow's first decision, whatever happened to it later."""


class Forker(Person):
    """A person who, when a workflow has ended, forks it, and sees the fork to its end."""

    def stands(self, look: Callable[[str], State | None]) -> State | None:
        """The fork, as soon as there is one."""
        source = look(self.workflow)
        fork = next(iter(source.forks), None) if source is not None else None
        return source if fork is None else look(fork) or source

    def next_command(self, state: State | None, outside: Outside) -> tuple[str, ...] | None:
        """What comes next: the same command again begins a fork that was taken only."""
        if state is None or state.forked_from is None:
            ended = state is not None and state.ended is not None
            return self.fork() if ended else super().next_command(state, outside)
        return None if state.ended is not None else ("resume", state.workflow_id)

    def fork(self) -> tuple[str, ...]:
        """Fork it."""
        return ("fork", self.workflow, "--at", str(CUT), "--by", OPERATOR, "--reason", "once more", "--yes")
