"""Commands for consumers in other languages, on both stores: handed over, answered, expired, waited for."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from consumers.dead_commands import DeadCommandIntake
from consumers.sweep import Sweep
from domain.definitions import Definition, Step, activity
from domain.messages import StepCommand
from domain.messages.writing import outgoing_command
from domain.ports import Command, Request
from domain.state import Status
from domain.store.aside import inline
from domain.topology import activity_queue, dead_queue
from domain.transport import Delivery
from domain.triggers import CancelWorkflow, RecordOutcome
from tests.integration.outbound.stage import Process, ScriptedBroker, until, utc_now

Begin = Callable[..., Process]


@activity(effect="idempotent", pivot=True, queue="node", foreign=True, schedule_to_finish=timedelta(hours=1))
async def notify(given: dict[str, Any]) -> dict[str, Any]:
    raise NotImplementedError


NOTIFYING = Definition("notifying", steps=[Step("notify", notify)])


def rows(process: Process) -> list[str]:
    return [row[0] for row in process.store.query("SELECT state FROM inbox WHERE version IS NOT NULL ORDER BY version")]


async def handed_over(process: Process, broker: ScriptedBroker) -> Command:
    """Begin a workflow, and relay its command."""
    await process.start(NOTIFYING)
    async with process.relaying():
        await until(lambda: rows(process) == ["handed_over"])
    (message,) = broker.queues["node"]
    assert [row.message_id for row in process.claims.handed_over(10)] == [message.message_id]
    return StepCommand.model_validate_json(message.body).command()


async def answer(process: Process, command: Command) -> None:
    trigger = RecordOutcome(step=command.step, kind="run", attempt=command.attempt, status="ok", output={"sent": True})
    request = Request(command.workflow_id, trigger, utc_now(), "answer", "node", completes=command.message_id)
    await process.turns.decide(request)


def sweep_at(process: Process, later: timedelta) -> Sweep:
    """The sweep of a process whose clock is that much ahead."""
    return Sweep(
        claims=process.claims,
        decider=process.turns,
        clock=lambda: utc_now() + later,
        running=list,
        scope=lambda: None,
        reissue=process.outbound.reissue,
    )


async def test_it_is_handed_over_and_completed_by_its_outcome(begin: Begin, broker: ScriptedBroker) -> None:
    process = begin(NOTIFYING)
    command = await handed_over(process, broker)
    assert process.claims.claim([command.message_id]) == set()
    await answer(process, command)
    assert process.state("wf_000").status is Status.COMPLETED
    assert rows(process) == ["done"]


async def test_cancelling_waits_for_its_outcome(begin: Begin, broker: ScriptedBroker) -> None:
    process = begin(NOTIFYING)
    command = await handed_over(process, broker)
    await process.ask("wf_000", CancelWorkflow(by="ann", reason="changed my mind"))
    assert process.state("wf_000").status is Status.STOPPING
    await sweep_at(process, timedelta(minutes=59)).once()
    assert process.state("wf_000").status is Status.STOPPING
    await answer(process, command)
    assert process.state("wf_000").ended is not None
    assert rows(process) == ["done"]


async def test_cancelling_waits_no_longer_than_its_time(begin: Begin, broker: ScriptedBroker) -> None:
    process = begin(NOTIFYING)
    await handed_over(process, broker)
    await process.ask("wf_000", CancelWorkflow(by="ann", reason="changed my mind"))
    await sweep_at(process, timedelta(minutes=61)).once()
    assert process.state("wf_000").ended is not None
    assert rows(process) == ["lapsed"]


async def test_without_an_outcome_its_step_times_out(begin: Begin, broker: ScriptedBroker) -> None:
    process = begin(NOTIFYING)
    command = await handed_over(process, broker)
    await sweep_at(process, timedelta(minutes=61)).once()
    state = process.state("wf_000")
    names = [
        process.store.mapper.to_domain_event(stored).name for stored in process.store.recorder.select_events("wf_000")
    ]
    assert "AttemptLapsed" in names
    assert "StepTimedOut" in names
    assert state.steps.get("notify") is None or state.steps["notify"].live is None
    # What comes after all is recorded, and the fence that is gone does not stand in its way.
    await answer(process, command)
    names = [
        process.store.mapper.to_domain_event(stored).name for stored in process.store.recorder.select_events("wf_000")
    ]
    assert "LateOutcomeRecorded" in names


async def test_one_that_comes_back_dead_is_tried_again(begin: Begin, broker: ScriptedBroker) -> None:
    process = begin(NOTIFYING)
    command = await handed_over(process, broker)
    settled: list[bool] = []

    async def bury(faults: object) -> None:
        raise AssertionError(faults)

    intake = DeadCommandIntake(claims=process.claims, decider=process.turns, clock=utc_now, bury=bury, aside=inline)
    message = outgoing_command(command)
    delivery = Delivery(
        dead_queue(activity_queue("node")), message.body, message.message_id, message.type, settle=settled.append
    )
    await intake([delivery, delivery])
    assert settled == [True, True]
    assert rows(process)[0] == "revoked"
    state = process.state("wf_000")
    assert state.steps["notify"].status.value == "retry_wait"


async def test_a_purged_queue_is_filled_again_on_request(begin: Begin, broker: ScriptedBroker) -> None:
    process = begin(NOTIFYING)
    command = await handed_over(process, broker)
    broker.purge()
    done = await process.outbound.outstanding.reconcile()
    assert (done.commands, done.commands_sent, broker.waiting) == (1, 1, [command.message_id])
    assert rows(process) == ["handed_over"]
    await answer(process, command)
    assert process.state("wf_000").status is Status.COMPLETED
