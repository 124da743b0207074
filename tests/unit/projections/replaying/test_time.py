"""Where the time went, each moment once; what was late; each attempt with its instants."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.definitions import Step
from domain.plan import SignalWait, TimeWait
from projections.replaying.attempts import attempts_of
from projections.replaying.durations import Durations, stretches, summed
from projections.replaying.lateness import late_events
from projections.replaying.words import duration
from tests.unit.domain.recipes import act, define, pay, policy, reserve
from tests.unit.domain.scenario import TRANSIENT, Scenario, given

ASKS = define(Step("pay", act("pay"), approval="board"), act("tell"), approvals=[policy("board", deadline=None)])


def spent(scenario: Scenario) -> Durations:
    return summed(scenario.history, *stretches(scenario.history, attempts_of(scenario.history)))


def ran(scenario: Scenario, step: str, waited: float, running: float, kept: float = 0) -> Scenario:
    """An attempt that waited so long for a worker, ran so long, and was recorded so much later, in seconds."""
    begun = scenario.now + timedelta(seconds=waited)
    over = begun + timedelta(seconds=running)
    scenario.later(waited + running + kept)
    return scenario.ok(step, claimed_at=begun, started_at=begun, finished_at=over, worker="w")


def test_a_workers_time_is_told_apart_from_waiting_for_one() -> None:
    scenario = ran(given(define(act("look"))), "look", waited=5, running=20, kept=1)
    assert spent(scenario).parts == {"worker": 5, "running": 20, "recording": 1}
    assert spent(scenario).total_seconds == 26


def test_backoff_and_what_came_late_after_it() -> None:
    scenario = given(define(act("look"))).fails("look", TRANSIENT)
    due = scenario.state.dues["retry:look"]
    backoff = (due - scenario.now).total_seconds()
    scenario.later(backoff + 300).wakes().ok("look")
    parts = spent(scenario).parts
    assert parts["backoff"] == pytest.approx(backoff, abs=1e-5)
    assert parts["late"] == pytest.approx(300, abs=1e-5)
    (late,) = late_events(scenario.history)
    assert (late.version, late.step, late.due_at) == (6, "look", due)
    assert late.seconds == pytest.approx(300, abs=1e-5)


def test_a_persons_time_is_that_of_the_open_approval() -> None:
    scenario = given(ASKS).later(hours=2).approves("pay").later(3).ok("pay")
    assert spent(scenario).parts == {"person": 7200, "worker": 3}
    assert spent(scenario).steps["pay"] == {"person": 7200, "worker": 3}


def test_while_anything_runs_nobody_is_waited_for() -> None:
    both = define(
        Step("left", act("left"), after=(), approval="board"),
        Step("right", act("right"), after=()),
        approvals=[policy("board", deadline=None)],
    )
    scenario = ran(given(both), "right", waited=0, running=100).later(50).approves("left").ok("left")
    assert spent(scenario).parts == {"running": 100, "person": 50}
    assert spent(scenario).steps == {"right": {"running": 100}, "left": {"person": 150}}


def test_an_attempt_that_never_told_is_lost_time() -> None:
    scenario = given(define(act("look"))).later(30).lapses("look").ok("look")
    assert spent(scenario).parts == {"lost": 30}


def test_times_signals_and_pauses() -> None:
    waits = define(
        Step("rest", wait_time=TimeWait(duration=timedelta(minutes=5))),
        Step("news", wait_signal=SignalWait(name="news", correlation="k")),
    )
    scenario = given(waits).later(minutes=5).wakes().later(10).paused().later(20).resumed().later(5)
    assert spent(scenario.signalled("news", "k")).parts == {"others": 315, "person": 20}


def test_what_is_still_awaited_at_the_last_event_is_listed() -> None:
    found = spent(given(ASKS))
    assert (found.total_seconds, found.parts) == (0, {})
    assert [(one.part, one.step, one.reason) for one in found.awaited] == [("person", "pay", "approval")]


def test_time_while_nothing_falls_due_is_not_late() -> None:
    scenario = given(define(act("look"))).fails("look", TRANSIENT).paused().later(hours=5).resumed().ok("look")
    assert late_events(scenario.history) == []
    assert set(spent(scenario).parts) == {"backoff", "person"}


def test_an_attempt_under_way_is_awaited_until_it_ends() -> None:
    scenario = given(define(act("look")))
    assert [(one.part, one.step, one.reason) for one in spent(scenario).awaited] == [("worker", "look", "run 1")]
    assert spent(scenario.ok("look")).awaited == ()


def late(scenario: Scenario) -> list[tuple[str, float]]:
    return [(scenario.history[one.version - 1].name, round(one.seconds)) for one in late_events(scenario.history)]


def test_whatever_falls_due_may_be_late() -> None:
    rest = define(Step("rest", wait_time=TimeWait(duration=timedelta(minutes=5))))
    assert late(given(rest).later(minutes=7).wakes()) == [("WaitSatisfied", 120)]
    news = define(
        Step(
            "news",
            wait_signal=SignalWait(name="news", correlation="k"),
            timeout=timedelta(minutes=5),
            on_timeout="skip",
        )
    )
    assert late(given(news).later(minutes=7).wakes()) == [("WaitTimedOut", 120)]
    hurried = define(Step("news", wait_signal=SignalWait(name="n", correlation="k")), deadline=timedelta(minutes=5))
    assert late(given(hurried).later(minutes=7).wakes()) == [("StoppingBegan", 120)]
    probed = given(define(pay(probe="ask"))).lapses("pay")
    due = probed.state.dues["probe:pay"] - probed.now
    assert late(probed.later(due.total_seconds() + 90).wakes()) == [("StepScheduled", 90)]
    assert late(given(rest).later(minutes=5, seconds=59).wakes()) == [], "within a minute nobody asks"


def test_every_attempt_has_its_end() -> None:
    scenario = given(define(pay(probe="ask"))).lapses("pay").later(minutes=5).wakes().ok("pay", {"found": 1})
    told = [(one.step, one.kind, one.outcome, one.scheduled, one.ended) for one in attempts_of(scenario.history)]
    assert told == [("pay", "run", "lapsed", 3, 4), ("pay", "probe", "ok", 6, 7)]
    revoked = given(define(act("look"))).left_open().cancelled()
    assert [one.outcome for one in attempts_of(revoked.history)] == ["revoked"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"), (0.0004, "0s"), (0.25, "0.25s"), (1.84, "1.8s"), (12, "12s"), (59.97, "60s"), (60, "1m"),
        (200, "3m 20s"), (3600, "1h"), (7500, "2h 5m"), (86400, "1d"), (273600, "3d 4h"),
    ],
)  # fmt: skip
def test_durations_are_read_at_a_glance(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_undoing_in_backoff_is_the_time_of_the_step_that_is_undone() -> None:
    scenario = given(define(reserve(), act("tell"))).ok("reserve").fails("tell").fails("reserve", TRANSIENT)
    due = scenario.state.dues["retry:~undo"] - scenario.now
    scenario.later(due.total_seconds()).wakes().ok("reserve")
    assert spent(scenario).steps == {"reserve": {"backoff": pytest.approx(due.total_seconds(), abs=1e-5)}}


def test_a_command_that_was_revoked_has_no_times_of_the_attempt_that_failed() -> None:
    both = define(Step("left", act("left"), after=()), Step("right", act("right"), after=()))
    scenario = given(both).left_open("right")
    now = scenario.now
    scenario.fails("left", claimed_at=now, started_at=now, finished_at=now, worker="w")
    told = [(one.step, one.outcome, one.started_at, one.worker) for one in attempts_of(scenario.history)]
    assert told == [("left", "failed", now, "w"), ("right", "revoked", None, None)]
