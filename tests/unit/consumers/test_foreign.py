"""Outcomes from other languages: each ends its own attempt once, and nobody else's."""

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.authority import AnsweringGrants
from domain.errors import StoreUnavailable
from domain.events import ApprovalRequested, AttemptFailed, LateOutcomeRecorded, StepScheduled, StepSucceeded
from domain.failures import FailureClass
from domain.messages.names import Fault
from domain.ports import Request
from domain.transport import Delivery
from domain.triggers import CancelWorkflow, LapseAttempt
from tests.unit.consumers.intake_stage import OUTCOME, Process
from tests.unit.domain.test_wire_reading import UNREADABLE
from tests.unit.domain.wire_samples import delivery, without

QUEUE = "handrail.outcomes"
FINISHED = datetime(2030, 1, 2, 3, 4, 6, tzinfo=UTC)


async def begun(process: Process, *, state: str = "handed_over") -> str:
    """A workflow whose foreign command stands so; the command's message id."""
    workflow_id = await process.goal(goal="scanning")
    command = f"{workflow_id}/scan/run/1"
    assert set_state(process, command, state) == 1
    return command


def set_state(process: Process, command: str, state: str) -> int:
    with process.store.transaction() as cursor:
        return cursor.execute("UPDATE inbox SET state = ?, owner = 'here' WHERE message_id = ?", (state, command))


def state_of(process: Process, command: str) -> str:
    ((state,),) = process.store.query("SELECT state FROM inbox WHERE message_id = ?", (command,))
    return str(state)


def outcome(command: str, message_id: str = "o-1", *left_out: str, **changed: Any) -> Delivery:
    content = without(OUTCOME, *left_out, **{"message_id": command, "output": {"amount": 9}, **changed})
    return delivery(
        OUTCOME, {k: v for k, v in content.items() if v is not None}, message_id=message_id, user_id="worker"
    )


def failed(command: str, message_id: str = "o-1", **changed: Any) -> Delivery:
    failure = {"kind": "transient", "message": "the scanner is warming up", **changed}
    return outcome(command, message_id, status="failed", output=None, failure=failure)


def ended(process: Process, command: str) -> list[Any]:
    kinds = StepSucceeded | AttemptFailed | LateOutcomeRecorded | ApprovalRequested
    return [event for event in process.events(command.partition("/")[0]) if isinstance(event, kinds)]


@pytest.mark.parametrize("state", ["handed_over", "open"])
async def test_an_outcome_ends_its_attempt(process: Process, state: str) -> None:
    command = await begun(process, state=state)
    await process.send(outcome(command))
    (succeeded,) = ended(process, command)
    assert (succeeded.output, succeeded.worker, succeeded.finished_at) == ({"amount": 9}, "node-1", FINISHED)
    assert state_of(process, command) == "done"
    assert process.receipts()["outcome:worker:o-1"] == "outcome done"
    assert process.dead == []
    recorded = process.store.read(command.partition("/")[0])
    assert {one.actor for one in recorded if one.cause == "outcome:worker:o-1"} == {"worker"}
    assert isinstance(recorded[-1].event, StepScheduled)  # the workflow goes on


async def test_an_outcome_again_is_a_repeat_even_if_it_differs(process: Process) -> None:
    command = await begun(process)
    await process.send(outcome(command), outcome(command, finished_at="2030-01-02T09:00:00Z"))
    await process.send(failed(command))
    assert len(ended(process, command)) == 1
    assert (process.dead, len(process.settled.acknowledged)) == ([], 4)


async def test_one_message_id_for_two_commands_is_a_conflict(process: Process) -> None:
    command = await begun(process)
    await process.send(outcome(command), outcome("wf_other/scan/run/1"))
    assert process.dead == [(QUEUE, Fault.CONFLICT, "o-1")]


async def test_another_outcome_of_a_finished_attempt_changes_nothing(process: Process) -> None:
    command = await begun(process)
    await process.send(outcome(command), failed(command, "o-2"))
    await process.send(failed(command, "o-3"))
    assert len(ended(process, command)) == 1
    assert process.counts.received[QUEUE, "ignored"] == 2


async def test_a_failure_is_classified_as_it_says(process: Process) -> None:
    command = await begun(process)
    await process.send(failed(command, kind="rate_limited", retry_after_seconds=7, type="Busy"))
    (event,) = ended(process, command)
    assert (event.failure.kind, event.failure.type) == (FailureClass.RATE_LIMITED, "Busy")
    assert (event.failure.message, event.failure.retry_after_seconds) == ("the scanner is warming up", 7)
    assert state_of(process, command) == "done"


async def test_an_output_that_does_not_fit_is_a_failure(process: Process) -> None:
    command = await begun(process)
    await process.send(outcome(command, output={"amount": "much"}))
    (event,) = ended(process, command)
    assert event.failure.kind is FailureClass.INVALID
    assert "amount: Input should be a valid integer" in event.failure.message
    assert process.dead == []


async def test_an_answer_may_ask_for_an_approval(process: Process) -> None:
    command = await begun(process)
    answer = {"reason": "blurred", "evidence": {"page": 3}, "controls": ["scan again"], "output": {"amount": 8}}
    await process.send(outcome(command, status="needs_approval", output=None, answer=answer))
    (asked,) = ended(process, command)
    assert (asked.reason, asked.evidence, asked.proposed_controls) == ("blurred", {"page": 3}, ("scan again",))
    assert asked.output == {"amount": 8}


async def test_an_answer_may_say_no(process: Process) -> None:
    command = await begun(process)
    await process.send(outcome(command, status="denied", output=None, answer={"reason": "not a paper of ours"}))
    (event,) = ended(process, command)
    assert (event.failure.kind, event.failure.message) == (FailureClass.REJECTED, "not a paper of ours")


# --- what is not theirs ---------------------------------------------------------------------------------------------


async def test_a_late_outcome_is_recorded_as_late(process: Process) -> None:
    command = await begun(process)
    workflow_id = command.partition("/")[0]
    lapse = LapseAttempt(step="scan", kind="run", attempt=1, reason="schedule to finish")
    await process.turns.decide(Request(workflow_id, lapse, process.clock(), "sweep", "engine", lapses=command))
    await process.send(outcome(command))
    (late,) = ended(process, command)
    assert isinstance(late, LateOutcomeRecorded)
    assert state_of(process, command) == "lapsed"
    assert process.counts.received[QUEUE, "late"] == 1


async def test_an_outcome_that_meets_its_lapse_is_late(process: Process) -> None:
    command = await begun(process)

    async def lapse_first(request: Request) -> None:
        process.decider.before = None
        lapse = LapseAttempt(step="scan", kind="run", attempt=1, reason="schedule to finish")
        await process.turns.decide(
            Request(request.workflow_id, lapse, process.clock(), "sweep", "engine", lapses=command)
        )

    process.decider.before = lapse_first
    await process.send(outcome(command))
    (late,) = ended(process, command)
    assert isinstance(late, LateOutcomeRecorded)


async def test_a_revoked_command_has_nothing_to_say(process: Process) -> None:
    command = await begun(process, state="open")
    cancel = CancelWorkflow(by="olga", reason="no more")
    await process.turns.decide(Request(command.partition("/")[0], cancel, process.clock(), "c", "olga"))
    assert state_of(process, command) == "revoked"
    await process.send(outcome(command))
    assert ended(process, command) == []
    assert (process.dead, process.acknowledged) == ([], ["m-1", "o-1"])


async def test_an_outcome_of_nothing_is_buried(process: Process) -> None:
    workflow_id = await process.goal(goal="scanning")
    receipt = "goal:desk:m-1"
    for number, name in enumerate([f"{workflow_id}/scan/run/9", "nonsense", receipt]):
        await process.send(outcome(name, f"o-{number}"))
    assert [fault for _, fault, _ in process.dead] == [Fault.COMMAND_UNKNOWN] * 3
    assert f"there is no command '{workflow_id}/scan/run/9'" in process.reasons[0]


@pytest.mark.parametrize("state", ["open", "handed_over"])
async def test_a_service_answers_for_its_own_queues_only(process: Process, state: str) -> None:
    process.answering.update(worker=["printer"], other=["scanner"])
    command = await begun(process, state=state)
    await process.send(outcome(command))
    assert process.dead == [(QUEUE, Fault.SENDER_NOT_ALLOWED, "o-1")]
    assert "'worker' may not answer for queue 'scanner'" in process.reasons[0]
    assert (ended(process, command), state_of(process, command)) == ([], state), "not even handed over by it"
    process.answering.update(worker=["*"])
    await process.send(outcome(command, "o-2"))
    assert state_of(process, command) == "done"


@pytest.mark.parametrize("state", ["open", "handed_over"])
async def test_without_a_grant_nobody_answers(process: Process, state: str) -> None:
    process.answering.clear()
    command = await begun(process, state=state)
    await process.send(outcome(command))
    assert process.dead == [(QUEUE, Fault.SENDER_NOT_ALLOWED, "o-1")]
    assert "'worker' may not answer for queue 'scanner': name the login in HANDRAIL_ANSWERING" in process.reasons[0]
    assert (ended(process, command), state_of(process, command)) == ([], state)


def test_queues_that_nobody_answers_for_are_told() -> None:
    grants = AnsweringGrants({"worker": ["printer"], "other": ["scanner", "printer"]})
    assert grants.unanswered(["scanner", "papers", "mail"]) == ["mail", "papers"]
    assert AnsweringGrants({"worker": ["*"]}).unanswered(["papers"]) == []
    assert AnsweringGrants({}).unanswered(["papers"]) == ["papers"]


@pytest.mark.parametrize("state", ["open", "claimed", "handed_over"])
async def test_nobody_answers_for_a_process_of_handrail(process: Process, state: str) -> None:
    workflow_id = await process.goal(goal="plain")
    command = f"{workflow_id}/pay/run/1"
    set_state(process, command, state)
    await process.send(outcome(command))
    assert process.dead == [(QUEUE, Fault.SENDER_NOT_ALLOWED, "o-1")]
    assert "'pay' is not foreign" in process.reasons[0]
    assert (ended(process, command), state_of(process, command)) == ([], state)


async def test_an_outcome_whose_definition_nobody_here_has_waits_for_who_has_it(process: Process) -> None:
    command = await begun(process)
    by_version = dict(process.definitions._by_version)
    process.definitions._by_version.clear()
    await process.send(outcome(command))
    assert (process.acknowledged, process.dead) == (["m-1", "o-1"], [])
    assert state_of(process, command) == "handed_over"
    process.definitions._by_version.update(by_version)
    assert await process.later.once() == (1, 0)
    assert [event.output for event in ended(process, command)] == [{"amount": 9}]
    assert state_of(process, command) == "done"


async def test_nothing_is_held_for_who_may_not_answer(process: Process) -> None:
    command = await begun(process)
    process.definitions._by_version.clear()
    process.answering.clear()
    await process.send(outcome(command))
    assert process.dead == [(QUEUE, Fault.SENDER_NOT_ALLOWED, "o-1")]
    assert process.store.query("SELECT count(*) FROM messages_held") == [(0,)]


@pytest.mark.parametrize("case", list(UNREADABLE))
async def test_bad_input_is_buried_and_the_consumer_goes_on(process: Process, case: str) -> None:
    command = await begun(process)
    await process.send(delivery(OUTCOME, UNREADABLE[case][0], message_id="bad"), outcome(command))
    assert [(queue, name) for queue, _, name in process.dead] == [(QUEUE, "bad")]
    assert len(ended(process, command)) == 1


async def test_nobody_answers_without_a_login_that_the_broker_knows(process: Process) -> None:
    command = await begun(process)
    anonymous = outcome(command)
    anonymous.user_id = ""
    await process.send(anonymous)
    assert process.dead == [(QUEUE, Fault.SENDER_NOT_ALLOWED, "o-1")]
    assert "'unnamed service' may not answer" in process.reasons[0]
    assert ended(process, command) == []


# --- trouble --------------------------------------------------------------------------------------------------------


async def test_a_commit_whose_answer_was_lost_is_known_by_its_receipt(process: Process) -> None:
    command = await begun(process)

    def lost(_: Request) -> None:
        process.decider.after = None
        raise StoreUnavailable("the connection went in the middle of the answer")

    process.decider.after = lost
    one = outcome(command)
    with pytest.raises(StoreUnavailable):
        await process.send(one)
    assert process.acknowledged == ["m-1"]
    await process.send(one)
    assert process.acknowledged == ["m-1", "o-1"]
    assert len(ended(process, command)) == 1


async def test_a_store_that_is_away_settles_nothing(process: Process) -> None:
    command = await begun(process)
    with process.store_down(), pytest.raises(StoreUnavailable):
        await process.send(outcome(command))
    assert process.acknowledged == ["m-1"]
    await process.send(outcome(command))
    assert len(ended(process, command)) == 1
