"""What the intake does with bad input, and with trouble of the broker, of the store and between processes."""

from dataclasses import replace
from typing import Any

import pytest

from consumers.settlement import RECEPTIONS, Received, Settlement, settle_received
from domain.errors import BrokerUnavailable, EventCorrupt, HandrailError, StoreUnavailable, VersionConflict
from domain.ids import workflow_id_from_message
from domain.messages.faults import MOST_BURIED_BYTES, NAMELESS
from domain.messages.names import Fault
from domain.ports import Request
from domain.transport import Published
from tests.unit.consumers.intake_stage import GOAL, SIGNAL, Process, body_of
from tests.unit.domain.test_wire_reading import UNREADABLE
from tests.unit.domain.wire_samples import READERS, delivery

# --- what bad input gets --------------------------------------------------------------------------------------------

TAKEN_IN = [wire_type for wire_type in READERS if "outcome" not in wire_type]
BAD_PROPERTIES: dict[str, tuple[dict[str, Any], Fault]] = {
    "no message_id": ({"message_id": ""}, Fault.MESSAGE_ID_MISSING),
    "NUL in the message_id": ({"message_id": "a\0b"}, Fault.MESSAGE_ID_UNFIT),
    "a message_id of 256 bytes": ({"message_id": "x" * 256}, Fault.MESSAGE_ID_UNFIT),
    "no type": ({"type": ""}, Fault.TYPE_MISSING),
    "another type": ({"type": "order.placed"}, Fault.TYPE_UNKNOWN),
    "an unknown version": ({"type": "handrail.goal.start.v2"}, Fault.VERSION_UNKNOWN),
    "XML": ({"content_type": "text/xml"}, Fault.CONTENT_TYPE_UNFIT),
}


@pytest.mark.parametrize("wire_type", TAKEN_IN)
@pytest.mark.parametrize("case", [*UNREADABLE, *BAD_PROPERTIES, "no user_id", "another schema", "too large"])
async def test_bad_input_is_buried_and_the_consumer_goes_on(process: Process, wire_type: str, case: str) -> None:
    fault: Fault | None = None
    if case in UNREADABLE:
        bad = delivery(wire_type, UNREADABLE[case][0], message_id="bad")
    elif case in BAD_PROPERTIES:
        properties, fault = BAD_PROPERTIES[case]
        bad = delivery(wire_type, **{"message_id": "bad", **properties})
        if case == "an unknown version":
            bad = replace(bad, type=wire_type.replace(".v1", ".v2"))
    elif case == "no user_id":
        if wire_type == SIGNAL:
            await process.send(delivery(SIGNAL, user_id=""))
            assert process.dead == []
            return
        bad, fault = delivery(wire_type, message_id="bad", user_id=""), Fault.USER_ID_MISSING
    elif case == "another schema":
        bad, fault = delivery(wire_type, {}, message_id="bad"), Fault.SCHEMA
    else:
        bad, fault = delivery(wire_type, b" " * 1_048_577, message_id="bad"), Fault.TOO_LARGE
    neighbour = delivery(wire_type, message_id="next")
    await process.send(bad, neighbour)
    buried = process.publisher.published[0]
    assert (buried.exchange, buried.routing_key) == ("handrail.dead", bad.queue)
    assert (buried.type, buried.body) == (bad.type, bad.body)
    if case == "no message_id":
        assert buried.message_id.startswith(NAMELESS), "what has no id is given one"
    elif case == "a message_id of 256 bytes":
        assert len(buried.message_id.encode()) < 256, "an id that cannot be sent again is cut"
        assert buried.message_id.startswith("x" * 100)
    else:
        assert buried.message_id == bad.message_id
    assert buried.headers.get("handrail-original-user-id", "") == bad.user_id
    if fault is not None:
        assert buried.headers["handrail-fault-type"] == fault
    assert len(str(buried.headers["handrail-fault-message"])) > 10
    assert len(process.settled.acknowledged) == 2
    assert process.counts.received[bad.queue, "unfit"] >= 1


async def test_the_longest_ids_are_taken(process: Process) -> None:
    await process.goal("x" * 255, sender="d" * 255, goal="plain")
    assert process.dead == []
    assert process.store.exists(workflow_id_from_message("d" * 255, "x" * 255))


async def test_unknown_fields_are_counted(process: Process) -> None:
    await process.goal(later=1, much_later=2)
    assert process.counts.unknown_fields == {"handrail.goals": 2}
    assert process.dead == []


# --- trouble with the broker ----------------------------------------------------------------------------------------


async def test_what_cannot_be_buried_stays_and_the_others_are_settled(process: Process) -> None:
    process.publisher.down = True
    bad, good = delivery(GOAL, b"{", message_id="bad"), delivery(GOAL, {"goal": "refund"}, message_id="good")
    with pytest.raises(BrokerUnavailable):
        await process.send(bad, good)
    assert process.acknowledged == ["good"]
    assert process.settled.rejected == []
    process.publisher.down = False
    await process.send(bad)
    assert process.acknowledged == ["good", "bad"]


@pytest.mark.parametrize("answer", [one for one in Published if one is not Published.CONFIRMED])
async def test_only_what_the_broker_has_confirmed_is_acknowledged(process: Process, answer: Published) -> None:
    process.publisher.answers = [Published.CONFIRMED, answer, Published.CONFIRMED]
    with pytest.raises(BrokerUnavailable, match=r"1 messages of .* cannot be moved"):
        await process.send(*(delivery(GOAL, b"{", message_id=name) for name in "abc"))
    assert process.acknowledged == ["a", "c"]


async def test_what_is_too_large_to_be_published_again_is_rejected(process: Process) -> None:
    await process.send(delivery(GOAL, b" " * (MOST_BURIED_BYTES + 1), message_id="huge"), delivery(GOAL, b"{"))
    assert [one.message_id for one in process.settled.rejected] == ["huge"]
    assert process.acknowledged == ["m-1"]
    assert [one.message_id for one in process.publisher.published] == ["m-1"]


# --- trouble with the store -----------------------------------------------------------------------------------------


async def test_nothing_is_settled_that_is_not_in_the_store(process: Process) -> None:
    one = delivery(GOAL, {"goal": "refund"})
    with process.store_down(), pytest.raises(StoreUnavailable):
        await process.send(one)
    assert (process.acknowledged, process.settled.rejected, process.dead) == ([], [], [])
    await process.send(one)
    assert process.acknowledged == ["m-1"]


async def test_a_commit_whose_answer_was_lost_is_known_by_its_receipt(process: Process) -> None:
    def lost(_: Request) -> None:
        process.decider.after = None
        raise StoreUnavailable("the connection went in the middle of the answer")

    process.decider.after = lost
    one = delivery(GOAL, {"goal": "refund"})
    with pytest.raises(StoreUnavailable):
        await process.send(one)
    assert process.acknowledged == []
    await process.send(one)
    assert process.acknowledged == ["m-1"]
    assert process.names(workflow_id_from_message("desk", "m-1")).count("WorkflowStarted") == 1
    assert process.counts.received["handrail.goals", "repeated"] == 1


async def test_what_was_decided_before_the_trouble_is_settled(process: Process) -> None:
    async def fail_one(request: Request) -> None:
        if request.cause.endswith("bad"):
            raise VersionConflict("others were first again and again")

    process.decider.before = fail_one
    with pytest.raises(StoreUnavailable, match="others were first"):
        await process.send(*(delivery(GOAL, {"goal": "refund"}, message_id=name) for name in ("good", "bad")))
    assert (process.acknowledged, process.dead) == (["good"], [])
    assert process.counts.received["handrail.goals", "undecided"] == 1


@pytest.mark.parametrize(("error", "fault"), [(EventCorrupt("event 3 is missing"), Fault.RECORD_DAMAGED)])
async def test_a_damaged_workflow_holds_up_no_other(process: Process, error: HandrailError, fault: Fault) -> None:
    async def fail_one(request: Request) -> None:
        if request.cause.endswith("bad"):
            raise error

    process.decider.before = fail_one
    await process.send(*(delivery(GOAL, {"goal": "refund"}, message_id=name) for name in ("good", "bad")))
    assert process.dead == [("handrail.goals", fault, "bad")]
    assert process.acknowledged == ["good", "bad"]


# --- races ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["1", "2"])
async def test_another_process_may_be_first_with_the_same_id(process: Process, other: Process, tag: str) -> None:
    one, rival = (delivery(GOAL, {"goal": "plain", "tags": {"a": name}}) for name in ("1", tag))

    async def first(_: Request) -> None:
        process.decider.before = None
        await other.send(rival)

    process.decider.before = first
    await process.send(one)
    workflow_id = workflow_id_from_message("desk", "m-1")
    assert process.store.load(workflow_id).tags == {"a": tag}
    assert process.names(workflow_id).count("WorkflowStarted") == 1
    assert process.dead == ([] if tag == "1" else [("handrail.goals", Fault.CONFLICT, "m-1")])
    assert process.acknowledged == ["m-1", "m-1"]


async def test_two_processes_take_in_one_decision_once(process: Process, other: Process) -> None:
    workflow_id = await process.goal()
    one = process.decision(workflow_id)

    async def first(_: Request) -> None:
        process.decider.before = None
        await other.send(replace(one))

    process.decider.before = first
    await process.send(one)
    assert process.names(workflow_id).count("ApprovalRecorded") == 1
    assert "DecisionRefused" not in process.names(workflow_id)
    assert process.acknowledged == ["m-1", "d-1", "d-1"]


# --- the table ------------------------------------------------------------------------------------------------------


def test_every_end_has_its_settlement() -> None:
    assert {one: settle_received(one) for one in Received} == RECEPTIONS
    kept = {one for one in Received if settle_received(one) is Settlement.KEEP}
    assert kept == {Received.UNDECIDED}
    buried = {one for one in Received if settle_received(one) is Settlement.BURY}
    assert buried == {Received.CONFLICT, Received.UNFIT}
    assert body_of(delivery(GOAL))["goal"] == "vendor onboarding review"
