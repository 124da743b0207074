"""Seeded faults: of each kind a history that has it, and the event that is its first cause, written down beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import pytest

from domain.definitions import Definition, Step
from domain.failures import FailureClass
from domain.nodes import judgement
from domain.plan import ChildSpec, SignalWait, TimeWait, ref
from domain.policies import Condition, GatePolicy, RetryPolicy
from domain.recorded import RecordedEvent, record, stamp, to_state
from domain.triggers import CancelWorkflow, Given
from projections.replaying.origins import Kind
from tests.unit.domain.recipes import act, define, pay, planner, policy, reserve
from tests.unit.domain.scenario import BUG, PERMANENT, TRANSIENT, Loaded, Scenario, failure, given

PLAIN: Final = define(act("look"), reserve(), act("tell"))


@dataclass(frozen=True)
class Seeded:
    """A history with a fault: the kind and the event of its first cause, in which workflow, and whose definition."""

    kind: Kind
    version: int
    history: Sequence[RecordedEvent]
    definitions: Loaded
    workflow: str = "wf_001"
    family: dict[str, Sequence[RecordedEvent]] = field(default_factory=dict)
    fault: bool = True
    topics: dict[int, str] = field(default_factory=dict)
    payloads: dict[int, bytes] = field(default_factory=dict)

    def rows(self) -> list[tuple[int, str, bytes]]:
        """The history as the store has it: version, topic and state of each event."""
        found = []
        for one in self.history:
            version = one.originator_version
            state = to_state(replace(one, payload=self.payloads.get(version, one.payload)))
            topic = self.topics.get(version, one.name)
            if topic != one.name:
                name, _, shape = topic.partition("@")
                state = state.replace(
                    f'"name":"{one.name}","shape":1'.encode(), f'"name":"{name}","shape":{shape}'.encode()
                )
            found.append((version, topic, state))
        return found


def seeded(kind: Kind, version: int, scenario: Scenario, **parts: Any) -> Seeded:
    """A seeded fault from what became of a workflow."""
    return Seeded(kind, version, scenario.history, scenario.definitions, **parts)


FAULTS: Final[dict[str, Callable[[pytest.MonkeyPatch], Seeded]]] = {}


def fault(make: Callable[..., Seeded]) -> Callable[..., Seeded]:
    """A kind of fault, under the name of its function."""
    FAULTS[make.__name__] = make
    return make


# --- an activity fails ----------------------------------------------------------------------------------------------


@fault
def an_activity_fails_for_good(_: pytest.MonkeyPatch) -> Seeded:
    # 1 started, 2 plan, 3 look, 4 ok + 5 reserve, 6 ok + 7 tell, 8 failed
    return seeded(Kind.ACTIVITY_FAILED, 8, given(PLAIN).ok("look").ok("reserve").fails("tell").ok("reserve"))


@fault
def an_activity_fails_again_and_again(_: pytest.MonkeyPatch) -> Seeded:
    # The first of the two that failed alike; what failed otherwise before them was overcome.
    thrice = define(act("look", retry=RetryPolicy(max_attempts=3, initial_delay=timedelta(seconds=1))))
    scenario = given(thrice).fails("look", failure(FailureClass.TRANSIENT, "first trouble")).later(9).wakes()  # 4, 5, 6
    return seeded(Kind.ACTIVITY_FAILED, 7, scenario.fails("look", TRANSIENT).later(9).wakes().fails("look", TRANSIENT))


@fault
def a_bug_holds_it_for_a_person(_: pytest.MonkeyPatch) -> Seeded:
    return seeded(Kind.ACTIVITY_FAILED, 4, given(PLAIN).fails("look", BUG).later(9).wakes().fails("look", BUG))


@fault
def a_person_retries_in_vain(_: pytest.MonkeyPatch) -> Seeded:
    asks = define(act("look"), on_failure="intervene")
    return seeded(Kind.ACTIVITY_FAILED, 4, given(asks).fails("look").retried("look").fails("look"))


@fault
def what_was_mended_before_is_no_cause(_: pytest.MonkeyPatch) -> Seeded:
    # look fails at 4, is tried again and ok at 7; reserve, 8, fails at 9.
    scenario = given(PLAIN).fails("look", TRANSIENT).later(9).wakes().ok("look")
    return seeded(Kind.ACTIVITY_FAILED, 9, scenario.fails("reserve", PERMANENT))


@fault
def a_failure_in_backoff(_: pytest.MonkeyPatch) -> Seeded:
    return seeded(Kind.ACTIVITY_FAILED, 4, given(PLAIN).fails("look", TRANSIENT))


@fault
def an_activity_says_no(_: pytest.MonkeyPatch) -> Seeded:
    return seeded(Kind.ACTIVITY_DENIED, 4, given(PLAIN).denies("look"))


@fault
def a_worker_is_lost_again_and_again(_: pytest.MonkeyPatch) -> Seeded:
    scenario = given(define(act("look")))
    while scenario.state.live:
        scenario.lapses("look").later(9).wakes()
    return seeded(Kind.ATTEMPT_LOST, 4, scenario)


@fault
def an_outcome_is_unknown(_: pytest.MonkeyPatch) -> Seeded:
    return seeded(Kind.OUTCOME_UNKNOWN, 4, given(define(pay())).lapses("pay"))


@fault
def a_probe_cannot_tell(_: pytest.MonkeyPatch) -> Seeded:
    # 4 lapsed, 5 unknown, 6 probe: what the probe came to does not matter.
    scenario = given(define(pay(probe="ask"))).lapses("pay").later(minutes=5).wakes().fails("pay")
    return seeded(Kind.OUTCOME_UNKNOWN, 4, scenario)


@fault
def the_transport_gives_a_command_up(_: pytest.MonkeyPatch) -> Seeded:
    scenario = given(define(act("look"))).left_open().dead_letters("look").later(9).wakes()
    return seeded(Kind.DEAD_LETTERED, 4, scenario.left_open().dead_letters("look"))


@fault
def nobody_takes_a_command_up(_: pytest.MonkeyPatch) -> Seeded:
    hurried = define(act("look", schedule_to_finish=timedelta(minutes=2), start_to_finish=timedelta(minutes=1)))
    return seeded(Kind.NOT_TAKEN_UP, 4, given(hurried).left_open().later(minutes=2).wakes())


@fault
def an_input_does_not_fit(_: pytest.MonkeyPatch) -> Seeded:
    def broken(_: Any) -> dict[str, Any]:
        raise KeyError("vendor")

    return seeded(Kind.INPUT_INVALID, 5, given(define(act("look"), Step("tell", act("tell"), input=broken))).ok("look"))


@fault
def a_plan_breaks_a_rule(_: pytest.MonkeyPatch) -> Seeded:
    planned = define(planner=planner(), activities=[act("look")])
    bad = {"steps": [{"id": "x", "activity": "unheard-of"}]}
    # 1 started, 2 asked, 3 scheduled, 4 rejected
    return seeded(Kind.PLAN_REJECTED, 4, given(planned).ok("_plan", bad).later(9).wakes().ok("_plan", bad))


# --- policies and people --------------------------------------------------------------------------------------------

DENIES: Final = GatePolicy(name="dear", steps=("pay",), when=(Condition(path="n", op=">", value=5),), verdict="deny")
ASKS: Final = GatePolicy(name="dear", steps=("pay",), verdict="require_approval", approval="board")
BOARD: Final = policy("board", deadline=timedelta(hours=1), required=1)


def gated(gate: GatePolicy, **options: Any) -> Definition:
    return define(act("look"), Step("pay", act("pay"), input={"n": ref("input.n")}), gates=[gate], **options)


@fault
def a_policy_denies(_: pytest.MonkeyPatch) -> Seeded:
    return seeded(Kind.POLICY_DENIED, 5, given(gated(DENIES), input={"n": 9}).ok("look"))


@fault
def a_policy_decided_wrongly(_: pytest.MonkeyPatch) -> Seeded:
    # Recorded with a policy that denied from 5 on; the definition says 50.
    scenario = given(gated(DENIES), input={"n": 9}).ok("look")
    mended = gated(DENIES.model_copy(update={"when": (Condition(path="n", op=">", value=50),)}))
    return Seeded(Kind.DEFINITION_CHANGED, 5, scenario.history, Loaded({("test", "1"): mended}))


@fault
def a_person_rejects(_: pytest.MonkeyPatch) -> Seeded:
    # 5 policy, 6 asked, 7 the vote, 8 rejected
    scenario = given(gated(ASKS, approvals=[BOARD]), input={"n": 1}).ok("look").rejects("pay", reason="too dear")
    return seeded(Kind.APPROVAL_REJECTED, 7, scenario)


@fault
def the_first_of_two_votes_against(_: pytest.MonkeyPatch) -> Seeded:
    board = BOARD.model_copy(update={"rejections": 2})
    scenario = given(gated(ASKS, approvals=[board]), input={"n": 1}).ok("look")
    return seeded(Kind.APPROVAL_REJECTED, 7, scenario.rejects("pay", by="ann").rejects("pay", by="bob"))


@fault
def an_approval_is_lost(_: pytest.MonkeyPatch) -> Seeded:
    # ann's decision, 7, quoted an old digest and was refused; then nobody decided, 8.
    scenario = given(gated(ASKS, approvals=[BOARD]), input={"n": 1}).ok("look").approves("pay", digest="0" * 64)
    return seeded(Kind.APPROVAL_EXPIRED, 8, scenario.later(hours=1).wakes())


@fault
def a_timer_is_late(_: pytest.MonkeyPatch) -> Seeded:
    # Who could have decided was asked, 7, only when the deadline had passed, 8.
    board = BOARD.model_copy(update={"escalate_after": timedelta(minutes=30), "escalate_to": ("chief",)})
    scenario = given(gated(ASKS, approvals=[board]), input={"n": 1}).ok("look").later(hours=9).wakes()
    return seeded(Kind.TIMER_LATE, 7, scenario)


@fault
def an_approval_expires_while_it_is_paused(_: pytest.MonkeyPatch) -> Seeded:
    # 7 paused, 8 resumed: what fell due meanwhile, 9 and 10, could not be decided earlier.
    board = BOARD.model_copy(update={"escalate_after": timedelta(minutes=30), "escalate_to": ("chief",)})
    scenario = given(gated(ASKS, approvals=[board]), input={"n": 1}).ok("look").paused()
    return seeded(Kind.APPROVAL_EXPIRED, 10, scenario.later(hours=9).resumed())


@fault
def a_retry_is_late_and_all_ends_well(_: pytest.MonkeyPatch) -> Seeded:
    scenario = given(define(act("look"))).fails("look", TRANSIENT).later(hours=9).wakes().ok("look")
    return seeded(Kind.TIMER_LATE, 6, scenario)


@fault
def somebody_cancels(_: pytest.MonkeyPatch) -> Seeded:
    return seeded(Kind.CANCELLED, 4, given(PLAIN).left_open().cancelled())


@fault
def somebody_cancels_what_was_stuck(_: pytest.MonkeyPatch) -> Seeded:
    asks = define(act("look"), on_failure="intervene")
    return seeded(Kind.ACTIVITY_FAILED, 4, given(asks).fails("look").cancelled())


@fault
def the_budget_is_too_small(_: pytest.MonkeyPatch) -> Seeded:
    return seeded(Kind.BUDGET_USED, 5, given(define(act("look"), act("tell"), attempts_budget=1)).ok("look"))


@fault
def failures_use_the_budget_up(_: pytest.MonkeyPatch) -> Seeded:
    small = define(act("look"), attempts_budget=1)
    return seeded(Kind.ACTIVITY_FAILED, 4, given(small).fails("look", TRANSIENT).later(9).wakes())


@fault
def the_deadline_passes(_: pytest.MonkeyPatch) -> Seeded:
    waits = define(Step("news", wait_signal=SignalWait(name="news", correlation="k")), deadline=timedelta(minutes=10))
    return seeded(Kind.DEADLINE_PASSED, 4, given(waits).later(minutes=10).wakes())


# --- time, family, undoing ------------------------------------------------------------------------------------------


@fault
def a_signal_does_not_come(_: pytest.MonkeyPatch) -> Seeded:
    waits = define(
        Step("news", wait_signal=SignalWait(name="news", correlation="k"), timeout=timedelta(minutes=10)), act("tell")
    )
    return seeded(Kind.WAIT_TIMED_OUT, 4, given(waits).later(minutes=10).wakes())


@fault
def a_child_fails(_: pytest.MonkeyPatch) -> Seeded:
    inner = Scenario(define(act("look"), name="other"), "wf_001.enrol").started().fails("look")
    outer = given(define(Step("enrol", child=ChildSpec(definition="other")), act("tell")))
    outer.child_ends("enrol", "failed", reason="step look failed: no")
    return seeded(Kind.ACTIVITY_FAILED, 4, outer, workflow="wf_001.enrol", family={"wf_001.enrol": inner.history})


@fault
def a_child_fails_that_is_not_there(_: pytest.MonkeyPatch) -> Seeded:
    outer = given(define(Step("enrol", child=ChildSpec(definition="other")), act("tell")))
    return seeded(Kind.CHILD_FAILED, 4, outer.child_ends("enrol", "failed", reason="step look failed: no"))


@fault
def a_child_is_stuck(_: pytest.MonkeyPatch) -> Seeded:
    asks = define(act("look"), name="other", on_failure="intervene")
    inner = Scenario(asks, "wf_001.enrol").started().fails("look")
    outer = given(define(Step("enrol", child=ChildSpec(definition="other"))))
    return seeded(Kind.ACTIVITY_FAILED, 4, outer, workflow="wf_001.enrol", family={"wf_001.enrol": inner.history})


@fault
def its_parent_stops_it(_: pytest.MonkeyPatch) -> Seeded:
    # In the parent: 3 the child begins, 4 look is scheduled, 5 it fails, 7 the parent stops, and tells its children.
    beside = define(Step("enrol", child=ChildSpec(definition="test"), after=()), Step("look", act("look"), after=()))
    parent = Scenario(beside, "wf_000").started().fails("look")
    child = given(PLAIN, parent_workflow="wf_000", parent_step="enrol")
    trigger = CancelWorkflow(by="handrail", reason="its parent is stopping: step look failed: no")
    asked = Given(trigger, child.now, "wf_000/7", "handrail")
    history = [*child.history, *child.workflow.handle(asked, PLAIN).events]
    return Seeded(
        Kind.ACTIVITY_FAILED, 5, history, child.definitions, workflow="wf_000", family={"wf_000": parent.history}
    )


@fault
def failures_use_the_time_until_the_deadline_up(_: pytest.MonkeyPatch) -> Seeded:
    hurried = define(act("look", retry=RetryPolicy(initial_delay=timedelta(hours=1))), deadline=timedelta(minutes=10))
    return seeded(Kind.ACTIVITY_FAILED, 4, given(hurried).fails("look", TRANSIENT).later(minutes=10).wakes())


@fault
def another_input_is_a_new_beginning(_: pytest.MonkeyPatch) -> Seeded:
    # 4 failed, 6 asked, 7 retried with another input, 8 scheduled, 9 failed alike: of that input it is the first.
    asks = define(act("look"), on_failure="intervene")
    return seeded(Kind.ACTIVITY_FAILED, 9, given(asks).fails("look").retried("look", input={"n": 2}).fails("look"))


@fault
def undoing_fails(_: pytest.MonkeyPatch) -> Seeded:
    scenario = given(define(reserve(), act("tell"))).ok("reserve").fails("tell")  # 1 to 6, 7 failed, 8 stops, 9 to 11
    return seeded(Kind.COMPENSATION_FAILED, 12, scenario.fails("reserve"))


@fault
def an_effect_comes_when_all_is_over(_: pytest.MonkeyPatch) -> Seeded:
    # 4 lapsed, 6 tried again, 7 failed, 9 asked, 10 skipped, 12 completed; then the first attempt had succeeded, 13.
    scenario = given(define(reserve(), on_failure="intervene")).lapses("reserve").fails("reserve").skipped("reserve")
    return seeded(Kind.LATE_EFFECT, 13, scenario.ok("reserve", attempt=1))


@fault
def an_effect_comes_after_a_cancellation(_: pytest.MonkeyPatch) -> Seeded:
    scenario = given(define(reserve())).cancelled().lapses("reserve").ok("reserve").ok("reserve", attempt=1)
    return seeded(Kind.CANCELLED, 4, scenario)


@fault
def an_event_is_of_a_newer_version(_: pytest.MonkeyPatch) -> Seeded:
    # What follows it can be read, and is shown, but not folded.
    scenario = given(PLAIN).ok("look").ok("reserve").ok("tell")
    return Seeded(Kind.UNREADABLE, 5, scenario.history, scenario.definitions, topics={5: "StepPonder@7"})


@fault
def a_payload_cannot_be_read(_: pytest.MonkeyPatch) -> Seeded:
    scenario = given(PLAIN).ok("look").ok("reserve").ok("tell")
    return Seeded(Kind.UNREADABLE, 6, scenario.history, scenario.definitions, payloads={6: b"{"})


@fault
def the_store_was_put_back(_: pytest.MonkeyPatch) -> Seeded:
    return seeded(Kind.RESTORED, 4, given(define(pay())).restored())


# --- the code, the definition, the record ---------------------------------------------------------------------------


@fault
def the_definition_is_missing(_: pytest.MonkeyPatch) -> Seeded:
    return seeded(Kind.DEFINITION_MISSING, 5, given(PLAIN).unloaded().ok("look"))


@fault
def the_definition_was_changed(_: pytest.MonkeyPatch) -> Seeded:
    changed = define(act("look"), act("tell"))
    return Seeded(Kind.DEFINITION_CHANGED, 2, given(PLAIN).ok("look").history, Loaded({("test", "1"): changed}))


@fault
def a_node_has_a_bug(monkeypatch: pytest.MonkeyPatch) -> Seeded:
    # A transient failure, 4, was given up at once, 5, and the workflow stopped, 6: that is what the bug did.
    with monkeypatch.context() as planted:
        planted.setattr(judgement, "_delay", lambda *_: None)
        scenario = Scenario(PLAIN)
        scenario.replays = True
        scenario.started().fails("look", TRANSIENT)
    return seeded(Kind.DECIDED_OTHERWISE, 5, scenario)


@fault
def an_output_was_changed(_: pytest.MonkeyPatch) -> Seeded:
    scenario = given(PLAIN).ok("look", {"seat": 7}).ok("reserve").fails("tell").ok("reserve")
    return Seeded(Kind.TAMPERED, 4, changed(scenario.history, 4, b'"seat":7', b'"seat":8'), scenario.definitions)


@fault
def an_event_was_taken_out(_: pytest.MonkeyPatch) -> Seeded:
    scenario = given(PLAIN).ok("look").ok("reserve").ok("tell")
    return Seeded(Kind.TAMPERED, 5, [*scenario.history[:4], *scenario.history[5:]], scenario.definitions)


@fault
def a_header_was_changed(_: pytest.MonkeyPatch) -> Seeded:
    scenario = given(PLAIN).ok("look").ok("reserve").ok("tell")
    return Seeded(Kind.TAMPERED, 3, renamed(scenario.history, 3, actor="somebody else"), scenario.definitions)


# --- nothing is wrong -----------------------------------------------------------------------------------------------


@fault
def it_waits_for_an_approval(_: pytest.MonkeyPatch) -> Seeded:
    scenario = given(gated(ASKS, approvals=[BOARD]), input={"n": 1}).ok("look")
    return seeded(Kind.AWAITING_APPROVAL, 6, scenario, fault=False)


@fault
def it_waits_for_a_signal(_: pytest.MonkeyPatch) -> Seeded:
    scenario = given(define(Step("news", wait_signal=SignalWait(name="news", correlation="k"))))
    return seeded(Kind.AWAITING_SIGNAL, 3, scenario, fault=False)


@fault
def it_waits_for_a_time(_: pytest.MonkeyPatch) -> Seeded:
    scenario = given(define(Step("rest", wait_time=TimeWait(duration=timedelta(hours=1)))))
    return seeded(Kind.AWAITING_TIME, 3, scenario, fault=False)


@fault
def it_waits_for_a_child(_: pytest.MonkeyPatch) -> Seeded:
    scenario = given(define(Step("enrol", child=ChildSpec(definition="other"))))
    return seeded(Kind.AWAITING_CHILD, 3, scenario, fault=False)


@fault
def it_is_paused(_: pytest.MonkeyPatch) -> Seeded:
    return seeded(Kind.PAUSED, 4, given(PLAIN).paused(), fault=False)


# --- how a record is hurt -------------------------------------------------------------------------------------------


def changed(history: Sequence[RecordedEvent], version: int, old: bytes, new: bytes) -> list[RecordedEvent]:
    """The history with one payload changed in the store."""
    one = history[version - 1]
    assert old in one.payload
    payload = one.payload.replace(old, new)
    event = type(one.event).model_validate_json(payload)
    return [*history[: version - 1], replace(one, payload=payload, event=event), *history[version:]]


def renamed(history: Sequence[RecordedEvent], version: int, *, actor: str) -> list[RecordedEvent]:
    """The history with another actor in one header, as the store would give it back."""
    one = history[version - 1]
    stamped = stamp(one.originator_id, one.timestamp, one.cause, actor, one.decision)
    return [*history[: version - 1], record(one.event, stamped, version, one.previous), *history[version:]]
