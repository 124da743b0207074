"""What a workflow waits for, and the exact command that moves it: read from real states."""

import shlex
from collections import Counter
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.cli.main import app
from deploy.cli.pending import Place, at_rest, compensation_plan, pendings, step_statuses
from domain.evolve import evolve
from domain.state import State
from tests.unit.projections.histories import FIXED, PLANNED, history

COMMANDS = {command.name for command in app.registered_commands}


def states(seed: int, definition: object) -> Iterator[State]:
    """The state after each event of a history of chance."""
    state = State("wf_001")
    for recorded in history(seed, 60, FIXED if definition is FIXED else PLANNED):
        evolve(state, recorded)
        yield state


@given(seed=st.integers(0, 2**32), definition=st.sampled_from([FIXED, PLANNED]))
@settings(max_examples=80, deadline=None)
def test_whatever_waits_says_what_moves_it(seed: int, definition: object) -> None:
    for state in states(seed, definition):
        waiting = pendings(state, Place())
        if state.ended is not None:
            assert waiting == []
            continue
        assert {(one.step, one.reason) for one in waiting if one.reason != "paused"} == {
            (wait.step, wait.reason) for wait in state.waits.values()
        }
        assert state.paused == any(one.reason == "paused" for one in waiting)
        for one in waiting:
            assert one.commands or one.reason == "time"
            for command in one.commands:
                program, verb, *rest = shlex.split(command)
                assert (program, verb in COMMANDS) == ("handrail", True), command
                assert rest
        if at_rest(state):
            assert waiting


def test_every_reason_comes_up() -> None:
    reasons: Counter[str] = Counter()
    for seed in range(60):
        for definition in (FIXED, PLANNED):
            for state in states(seed, definition):
                reasons.update(one.reason for one in pendings(state, Place()))
    assert set(reasons) == {
        "approval", "signal", "time", "child", "outcome_unknown", "intervention", "budget", "definition", "paused",
    }  # fmt: skip


def test_the_plan_undoes_the_youngest_first() -> None:
    seen = 0
    for seed in range(30):
        for state in states(seed, FIXED):
            plan = compensation_plan(state)
            assert [one.step for one in plan] == [effect.undo.step for effect in reversed(state.effects.values())]
            seen += len(plan) > 1
    assert seen


def test_steps_stand_in_the_order_of_the_plan() -> None:
    *_, last = states(3, FIXED)
    assert FIXED.plan is not None
    assert [name for name, _ in step_statuses(last)] == [step.id for step in FIXED.plan]


def test_whoever_only_looks_needs_no_definitions() -> None:
    assert Place("a home", ("m",)).command("resume") == "handrail resume --home 'a home' --module m"
    assert Place("a home", ("m",)).looking("list") == "handrail list --home 'a home'"
