"""Goals, approvals, control and signals taken in: decided once, settled by what became of them."""

from dataclasses import replace
from typing import Any

import pytest

from domain.events import DecisionRefused, ForkTaken, WorkflowPaused, WorkflowStarted
from domain.forking import fork_id
from domain.ids import receipt_id, workflow_id_from_message
from domain.messages.names import Fault, control_type
from domain.transport import Delivery
from tests.unit.consumers.intake_stage import APPROVAL, GOAL, SIGNAL, Process
from tests.unit.domain.wire_samples import CONTROL_BODIES, delivery, without


def act(verb: str, of: str, message_id: str = "c-1", sender: str = "desk", **changed: Any) -> Delivery:
    content = {**CONTROL_BODIES[verb], "workflow_id": of, **changed}
    return delivery(control_type(verb), content, message_id=message_id, user_id=sender)


# --- goals ----------------------------------------------------------------------------------------------------------


async def test_a_goal_begins_a_workflow(process: Process) -> None:
    workflow_id = await process.goal(tags={"team": "blue"}, deadline="2030-02-01T00:00:00Z")
    (begun, *_) = process.store.read(workflow_id)
    assert isinstance(begun.event, WorkflowStarted)
    assert (begun.event.definition, begun.event.requested_by, begun.actor) == ("refund", "desk", "desk")
    assert begun.event.tags == {"team": "blue"}
    assert begun.cause == "goal:desk:m-1"
    assert process.receipts() == {"goal:desk:m-1": "goal done"}
    assert (process.acknowledged, process.dead) == (["m-1"], [])


async def test_a_service_asks_for_a_person_that_it_may_speak_for(process: Process) -> None:
    workflow_id = await process.goal(requested_by="alice")
    begun = process.store.read(workflow_id)[0]
    assert isinstance(begun.event, WorkflowStarted)
    assert (begun.event.requested_by, begun.actor) == ("alice", "desk")


async def test_a_service_asks_for_no_other_person(process: Process) -> None:
    await process.goal(sender="shop", requested_by="alice")
    assert process.dead == [("handrail.goals", Fault.SENDER_NOT_ALLOWED, "m-1")]
    assert "'shop' says that 'alice' asks" in process.reasons[0]
    assert process.receipts() == {}
    await process.goal("m-2", sender="shop", goal="plain", requested_by="alice")
    assert process.acknowledged == ["m-1", "m-2"]
    assert len(process.dead) == 1


async def test_a_definition_may_be_named(process: Process) -> None:
    workflow_id = await process.goal(goal="anything at all", definition="Plain")
    assert process.store.load(workflow_id).definition == "plain"


@pytest.mark.parametrize(
    ("body", "fault", "words"),
    [
        ({"goal": "no such thing"}, Fault.DEFINITION_UNKNOWN, "no definition fits the goal 'no such thing'"),
        ({"goal": "x", "definition": "nope"}, Fault.DEFINITION_UNKNOWN, "there is no definition 'nope'"),
        (
            {"goal": "plain", "input": {"amount": "much"}},
            Fault.INPUT_INVALID,
            "amount: Input should be a valid integer",
        ),
        ({"goal": "plain", "input": {"a": "x" * 300_000}}, Fault.INPUT_INVALID, "input: "),
        ({"goal": "plain", "input": {"amount": 13}}, Fault.CONSUMER_FAULT, "an author's mistake"),
    ],
)
async def test_a_goal_that_does_not_fit_is_buried_with_its_reason(
    process: Process, body: dict[str, Any], fault: Fault, words: str
) -> None:
    bad = delivery(GOAL, body, message_id="bad")
    good = delivery(GOAL, {"goal": "refund"}, message_id="good")
    await process.send(bad, good)
    assert process.dead == [("handrail.goals", fault, "bad")]
    assert words in process.reasons[0]
    assert sorted(process.acknowledged) == ["bad", "good"]
    assert list(process.receipts()) == ["goal:desk:good"]


# --- repeats --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_repeat_is_acknowledged_and_changes_nothing(process: Process, at_once: bool) -> None:
    one, again = (delivery(GOAL, {"goal": "refund"}) for _ in range(2))
    for turn in [[one, again]] if at_once else [[one], [again]]:
        await process.send(*turn)
    assert process.acknowledged == ["m-1", "m-1"]
    assert process.names(workflow_id_from_message("desk", "m-1")).count("WorkflowStarted") == 1
    assert process.counts.received == {("handrail.goals", "recorded"): 1, ("handrail.goals", "repeated"): 1}


async def test_a_repeat_is_known_when_its_definition_has_gone(process: Process) -> None:
    await process.goal()
    process.definitions._by_version.clear()
    process.definitions._by_words.clear()
    await process.goal()
    assert (process.acknowledged, process.dead) == (["m-1", "m-1"], [])


@pytest.mark.parametrize("at_once", [True, False])
async def test_the_same_id_with_another_body_is_a_conflict(process: Process, at_once: bool) -> None:
    one = delivery(GOAL, {"goal": "refund", "tags": {"a": "1"}})
    another = delivery(GOAL, {"goal": "refund", "tags": {"a": "2"}})
    for turn in [[one, another]] if at_once else [[one], [another]]:
        await process.send(*turn)
    assert process.dead == [("handrail.goals", Fault.CONFLICT, "m-1")]
    assert "received before with another body" in process.reasons[0]
    assert process.publisher.published[0].body == another.body
    assert process.store.load(workflow_id_from_message("desk", "m-1")).tags == {"a": "1"}
    assert process.counts.received["handrail.goals", "conflict"] == 1


async def test_the_same_id_of_two_senders_is_two_goals(process: Process) -> None:
    await process.send(*(delivery(GOAL, {"goal": "plain"}, user_id=sender) for sender in ("desk", "shop")))
    begun = {process.store.load(workflow_id_from_message(sender, "m-1")).requested_by for sender in ("desk", "shop")}
    assert begun == {"desk", "shop"}
    assert process.acknowledged == ["m-1", "m-1"]


async def test_ids_of_different_senders_never_meet(process: Process) -> None:
    pairs = [("a", "b:c"), ("a:b", "c"), ("a%3Ab", "c"), ("a", "b%3Ac")]
    await process.send(*(delivery(GOAL, {"goal": "plain"}, user_id=who, message_id=name) for who, name in pairs))
    assert len(process.receipts()) == 4
    assert process.dead == []


async def test_one_sender_may_use_an_id_once_for_each_kind_of_message(process: Process) -> None:
    workflow_id = await process.goal("same")
    await process.send(process.decision(workflow_id, "same"))
    await process.send(act("pause", workflow_id, "same"))
    await process.send(delivery(SIGNAL, message_id="same"))
    assert process.acknowledged == ["same"] * 4
    assert process.dead == []


async def test_an_id_that_looks_like_a_commands_is_no_command(process: Process) -> None:
    workflow_id = await process.goal("m-1", goal="plain")
    (command,) = (row[0] for row in process.store.query("SELECT message_id FROM inbox WHERE kind = 'run'"))
    assert command == f"{workflow_id}/pay/run/1"
    await process.goal(command, goal="plain")
    assert process.dead == []
    assert process.receipts()[receipt_id("goal", "desk", command)] == "goal done"
    assert process.store.query("SELECT state FROM inbox WHERE message_id = ?", (command,)) == [("open",)]


# --- approvals ------------------------------------------------------------------------------------------------------


async def test_a_decision_is_recorded_with_the_person_and_the_service(process: Process) -> None:
    workflow_id = await process.goal()
    await process.send(process.decision(workflow_id, "d-1", controls=["review in 90 days"]))
    recorded = process.store.read(workflow_id)[-1]
    assert recorded.name == "ApprovalRecorded"
    assert (recorded.event.decided_by, recorded.actor) == ("bea", "desk")  # type: ignore[attr-defined]
    await process.send(process.decision(workflow_id, "d-2", decided_by="carl"))
    assert "ApprovalGranted" in process.names(workflow_id)
    assert process.acknowledged == ["m-1", "d-1", "d-2"]
    assert process.receipts()["approval:desk:d-1"] == "approval done"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"digest": "0" * 64}, "it quotes digest"),
        ({"round": 2}, "it quotes round 2"),
        ({"decided_by": "mallory"}, "mallory may not decide this"),
        ({"approval_id": "pay.9"}, "round 1 is closed"),
        ({"approval_id": "nothing.1"}, "there is no such approval"),
    ],
)
async def test_a_decision_that_does_not_count_is_recorded_as_refused(
    process: Process, changed: dict[str, Any], words: str
) -> None:
    workflow_id = await process.goal()
    one = process.decision(workflow_id, **changed)
    await process.send(one)
    await process.send(replace(one))
    (refused,) = [event for event in process.events(workflow_id) if isinstance(event, DecisionRefused)]
    assert words in refused.reason
    assert (process.dead, process.acknowledged) == ([], ["m-1", "d-1", "d-1"])
    assert process.counts.received["handrail.approvals", "refused"] == 1


async def test_a_second_vote_of_a_person_is_refused_whoever_sends_it(process: Process) -> None:
    workflow_id = await process.goal()
    await process.send(process.decision(workflow_id, "d-1"), process.decision(workflow_id, "d-2"))
    assert process.names(workflow_id).count("ApprovalRecorded") == 1
    assert process.names(workflow_id).count("DecisionRefused") == 1


async def test_an_approval_for_nothing_is_buried(process: Process) -> None:
    await process.send(delivery(APPROVAL, without(APPROVAL, workflow_id="wf_nothing")))
    assert process.dead == [("handrail.approvals", Fault.WORKFLOW_UNKNOWN, "m-1")]
    assert "there is no workflow 'wf_nothing'" in process.reasons[0]


async def test_a_service_that_may_not_speak_for_persons_decides_nothing(process: Process) -> None:
    workflow_id = await process.goal()
    before = process.names(workflow_id)
    await process.send(process.decision(workflow_id, sender="shop"))
    assert process.dead == [("handrail.approvals", Fault.SENDER_NOT_ALLOWED, "d-1")]
    assert "'shop' says that 'bea' decides, and may not speak for persons in definition 'refund'" in process.reasons[0]
    assert process.names(workflow_id) == before
    assert process.publisher.published[0].headers["handrail-original-user-id"] == "shop"


# --- control --------------------------------------------------------------------------------------------------------


async def test_an_operators_act_is_carried_out(process: Process) -> None:
    workflow_id = await process.goal(goal="plain")
    await process.send(act("pause", workflow_id))
    recorded = process.store.read(workflow_id)[-1]
    assert isinstance(recorded.event, WorkflowPaused)
    assert (recorded.event.by, recorded.event.reason, recorded.actor) == ("olga", "the bank called", "desk")
    assert process.receipts()["control:desk:c-1"] == "control done"


async def test_a_service_operates_only_where_it_may(process: Process) -> None:
    plain, refund = await process.goal("m-1", goal="plain"), await process.goal("m-2")
    await process.send(act("pause", plain, "c-1", sender="shop"))
    await process.send(act("pause", refund, "c-2", sender="shop"), act("cancel", plain, "c-3", sender="shop"))
    assert "WorkflowPaused" in process.names(plain)
    assert [one[1:] for one in process.dead] == [(Fault.SENDER_NOT_ALLOWED, "c-2"), (Fault.SENDER_NOT_ALLOWED, "c-3")]
    assert "'shop' may not cancel workflows of definition 'plain'" in process.reasons[1]


async def test_acts_of_a_turn_are_decided_in_their_order(process: Process) -> None:
    workflow_id = await process.goal(goal="plain")
    await process.send(*(act(verb, workflow_id, f"c-{verb}") for verb in ("pause", "resume")))
    assert [name for name in process.names(workflow_id) if name in {"WorkflowPaused", "WorkflowResumed"}] == [
        "WorkflowPaused",
        "WorkflowResumed",
    ]


async def test_an_act_that_changes_nothing_is_acknowledged_once_for_all(process: Process) -> None:
    workflow_id = await process.goal(goal="plain")
    await process.send(act("pause", workflow_id, "c-1"))
    late = act("pause", workflow_id, "c-2")
    await process.send(late)
    await process.send(act("resume", workflow_id, "c-3"))
    await process.send(late)  # would pause it again
    assert process.names(workflow_id).count("WorkflowPaused") == 1
    assert process.counts.received["handrail.control", "ignored"] == 1
    assert process.counts.received["handrail.control", "repeated"] == 1


@pytest.mark.parametrize(
    ("verb", "changed", "fault", "words"),
    [
        ("supply", {"output": {"amount": "much"}}, Fault.INPUT_INVALID, "amount: Input should be a valid integer"),
        ("pause", {"workflow_id": "wf_nothing"}, Fault.WORKFLOW_UNKNOWN, "wf_nothing"),
    ],
)
async def test_an_act_that_is_refused_is_buried(
    process: Process, verb: str, changed: dict[str, Any], fault: Fault, words: str
) -> None:
    workflow_id = await process.goal(goal="plain")
    await process.send(act(verb, workflow_id, **changed))
    assert process.dead == [("handrail.control", fault, "c-1")]
    assert words in process.reasons[0]
    assert list(process.receipts()) == ["goal:desk:m-1"]


async def test_an_act_that_does_not_fit_the_workflow_is_recorded_as_refused(process: Process) -> None:
    workflow_id = await process.goal(goal="plain")
    await process.send(act("skip", workflow_id, step="nothing"))
    assert process.names(workflow_id)[-1] == "DecisionRefused"
    assert (process.dead, process.acknowledged) == ([], ["m-1", "c-1"])


# --- signals --------------------------------------------------------------------------------------------------------


async def test_a_signal_reaches_who_waits_and_is_kept_for_who_will(process: Process) -> None:
    workflow_id = await process.goal(goal="waiting")
    await process.send(delivery(SIGNAL, user_id="", app_id="post office"))
    assert "WaitSatisfied" in process.names(workflow_id)
    recorded = next(one for one in process.store.read(workflow_id) if one.name == "WaitSatisfied")
    assert (recorded.actor, recorded.cause) == ("post office", "signal::m-1")
    await process.send(delivery(SIGNAL, message_id="m-2"))
    assert process.store.query("SELECT message_id, sender FROM signals") == [("signal:desk:m-2", "desk")]
    assert process.acknowledged == ["m-1", "m-1", "m-2"]


async def test_a_signal_again_is_a_repeat_and_with_another_payload_a_conflict(process: Process) -> None:
    await process.send(delivery(SIGNAL), delivery(SIGNAL), delivery(SIGNAL, without(SIGNAL, payload=2)))
    assert process.acknowledged == ["m-1", "m-1", "m-1"]
    assert process.dead == [("handrail.signals", Fault.CONFLICT, "m-1")]
    assert len(process.store.query("SELECT 1 FROM signals")) == 1


async def test_a_signal_whose_sender_nobody_knows_is_taken(process: Process) -> None:
    await process.send(delivery(SIGNAL, user_id="", app_id="a\nb"))
    assert process.store.query("SELECT sender FROM signals") == [("unnamed service",)]


# --- forks ----------------------------------------------------------------------------------------------------------


async def test_a_fork_is_taken_once_under_an_id_that_follows_from_sender_and_message(process: Process) -> None:
    workflow_id = await process.goal(goal="plain", input={"amount": 5})
    for _ in range(2):
        await process.send(act("fork", workflow_id, version=3, input={"amount": 7}))
    (taken,) = [one for one in process.store.read(workflow_id) if isinstance(one.event, ForkTaken)]
    assert isinstance(taken.event, ForkTaken)
    assert taken.event.fork == fork_id(workflow_id, 3, taken.event.input, receipt_id("control", "desk", "c-1"))
    assert (taken.event.version, taken.event.digest) == (3, process.store.read(workflow_id)[2].digest)
    assert taken.event.input is not None
    assert taken.event.input["amount"] == 7
    assert (process.acknowledged, process.dead) == (["m-1", "c-1", "c-1"], [])


async def test_a_fork_in_the_middle_of_a_decision_is_buried(process: Process) -> None:
    workflow_id = await process.goal(goal="plain")
    await process.send(act("fork", workflow_id, version=2, input=None))
    assert process.dead == [("handrail.control", Fault.INPUT_INVALID, "c-1")]
    assert "lies in the middle of a decision" in process.reasons[0]
    assert "ForkTaken" not in process.names(workflow_id)
