"""Which event each event came of, told from the record alone."""

from __future__ import annotations

from domain.definitions import Step
from domain.plan import ChildSpec, SignalWait, ref
from domain.policies import GatePolicy
from projections.replaying.because import Thread
from tests.unit.domain.recipes import act, define, pay, planner, policy, reserve
from tests.unit.domain.scenario import TRANSIENT, Scenario, given

ASKS = GatePolicy(name="dear", steps=("pay",), verdict="require_approval", approval="board")
GATED = define(
    act("look"),
    Step("pay", act("pay"), input={"n": ref("input.n")}),
    gates=[ASKS],
    approvals=[policy("board")],
    on_failure="intervene",
)


def came_of(scenario: Scenario) -> dict[int, tuple[str, int]]:
    """Each event by its number: its name, and the number of the one that it came of."""
    because = Thread(scenario.history).because
    return {one.originator_version: (one.name, because.get(one.originator_version, 0)) for one in scenario.history}


def ways(scenario: Scenario) -> list[int]:
    """What the last event came of, back to the goal."""
    return Thread(scenario.history).back(len(scenario.history))


def test_a_step_comes_of_the_last_of_those_before_it() -> None:
    both = define(
        Step("left", act("left"), after=()),
        Step("right", act("right"), after=()),
        Step("both", act("both"), after=("left", "right")),
    )
    scenario = given(both).ok("right").ok("left")
    assert ways(scenario) == [7, 6, 3, 2, 1], "both, left, its scheduling, the plan, the goal"
    assert came_of(scenario)[5] == ("StepSucceeded", 4)


def test_a_retry_comes_of_the_end_of_the_attempt_before_it() -> None:
    scenario = given(define(act("look"))).fails("look", TRANSIENT).later(9).wakes().ok("look")
    assert ways(scenario) == [8, 7, 6, 5, 4, 3, 2, 1]


def test_an_approval_comes_of_the_policys_verdict_and_the_attempt_of_the_grant() -> None:
    scenario = given(GATED, input={"n": 1}).ok("look").approves("pay").ok("pay")
    assert came_of(scenario)[5] == ("PolicyEvaluated", 4)
    assert ways(scenario)[:6] == [11, 10, 9, 8, 7, 6]
    assert came_of(scenario)[6] == ("ApprovalRequested", 5)


def test_after_another_input_policy_and_approval_come_of_the_operator() -> None:
    scenario = given(GATED, input={"n": 1}).ok("look").approves("pay").fails("pay").retried("pay", input={"n": 2})
    told = came_of(scenario)
    assert [told[version] for version in (12, 13, 14)] == [
        ("InterventionRequested", 11),
        ("InterventionApplied", 12),
        ("PolicyEvaluated", 13),
    ]
    assert told[15] == ("ApprovalRequested", 14)


def test_a_probe_comes_of_the_doubt_and_the_settlement_of_the_probe() -> None:
    scenario = given(define(pay(probe="ask"))).lapses("pay").later(minutes=5).wakes().ok("pay", {"found": 1})
    assert ways(scenario) == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_what_a_person_settled_comes_of_the_person() -> None:
    scenario = given(define(pay(), act("tell"))).lapses("pay").settled("pay", applied=True)
    told = came_of(scenario)
    assert [told[version] for version in (6, 7, 8, 9)] == [
        ("InterventionApplied", 5),
        ("OutcomeReconciled", 6),
        ("StepSucceeded", 7),
        ("StepScheduled", 8),
    ]


def test_undoing_comes_of_the_stop_and_the_stop_of_the_failure() -> None:
    scenario = given(define(reserve(), act("tell"))).ok("reserve").fails("tell").fails("reserve", TRANSIENT)
    scenario.later(60).wakes().ok("reserve")
    told = came_of(scenario)
    assert [told[version] for version in range(6, 17)] == [
        ("AttemptFailed", 5),
        ("StepFailed", 6),
        ("StoppingBegan", 7),
        ("CompensationStarted", 8),
        ("CompensationScheduled", 9),
        ("StepScheduled", 10),
        ("AttemptFailed", 11),
        ("RetryScheduled", 12),
        ("StepScheduled", 13),
        ("StepCompensated", 14),
        ("WorkflowCompensated", 15),
    ]


def test_a_child_comes_of_its_step_and_what_follows_of_its_end() -> None:
    family = define(Step("enrol", child=ChildSpec(definition="other")), act("tell"))
    scenario = given(family).child_ends("enrol", output={"n": 1})
    assert ways(scenario) == [6, 5, 4, 3, 2, 1]


def test_a_signal_comes_of_the_wait_for_it() -> None:
    waits = define(act("look"), Step("news", wait_signal=SignalWait(name="news", correlation="k")), act("tell"))
    scenario = given(waits).ok("look").signalled("news", "k")
    assert ways(scenario) == [8, 7, 6, 5, 4, 3, 2, 1]


def test_a_plan_comes_of_the_planners_attempt_and_the_next_request_of_what_was_done() -> None:
    planned = define(planner=planner(), activities=[act("look")])
    scenario = given(planned).ok("_plan", {"steps": [{"id": "look", "activity": "look"}], "done": False}).ok("look")
    assert ways(scenario) == [8, 7, 6, 5, 4, 3, 2, 1]


def test_a_refused_decision_comes_of_what_was_asked() -> None:
    scenario = given(GATED, input={"n": 1}).ok("look").approves("pay", by="nobody")
    assert came_of(scenario)[7] == ("DecisionRefused", 6)


def test_a_late_outcome_comes_of_what_gave_the_attempt_up() -> None:
    scenario = given(define(reserve())).lapses("reserve").fails("reserve", TRANSIENT).ok("reserve", attempt=1)
    assert came_of(scenario)[len(scenario.history)] == ("LateOutcomeRecorded", 4)


def test_resuming_comes_of_the_pause() -> None:
    scenario = given(define(act("look"))).paused().resumed()
    assert came_of(scenario)[5] == ("WorkflowResumed", 4)


def test_an_artifact_comes_of_the_last_step_and_its_retry_of_its_failure() -> None:
    scenario = (
        given(define(act("look"), artifact=act("write"))).ok("look").fails("_artifact", TRANSIENT).later(9).wakes()
    )
    told = came_of(scenario)
    assert [told[version] for version in (5, 6, 7, 8)] == [
        ("StepScheduled", 4),
        ("AttemptFailed", 5),
        ("RetryScheduled", 6),
        ("StepScheduled", 7),
    ]
