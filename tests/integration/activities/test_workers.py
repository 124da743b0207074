"""Workers that die, workflows that stop, commands that were revoked, doubled, forged or cannot be read."""

import dataclasses
import os
import signal

import pytest

from domain.definitions import Definition
from domain.messages.writing import outgoing_command
from domain.topology import DEAD_COMMANDS_QUEUE, activity_queue, dead_queue
from tests.integration.activities.recipes import WAITING, WAITING_LONG
from tests.integration.activities.site import Site
from tests.integration.serving.deployment import until

QUEUE = activity_queue("default")


def events(site: Site, workflow_id: str) -> list[str]:
    store = site.deployment.store
    return [store.mapper.to_domain_event(one).name for one in store.recorder.select_events(workflow_id)]


@pytest.mark.parametrize("definition", [WAITING, WAITING_LONG], ids=["short", "long"])
def test_what_a_killed_worker_ran_lapses_and_is_done_elsewhere(site: Site, definition: Definition) -> None:
    site.serve_all_but_activities()
    first = site.serve_activities()
    site.start(definition, "wf_1", "wf_2")
    until(lambda: len(site.counted("begun")) == 2, lambda: f"nothing began: {site.calls}")
    first.kill9()
    second = site.serve_activities()
    until(lambda: site.counted("begun")["wf_1"] == 2, lambda: f"not taken over: {site.calls}")
    site.open_the_gate()
    site.until_status("completed", "wf_1", "wf_2")
    assert [process for what, _, process in site.calls if what == "ended"] == [second.process.pid] * 2
    assert site.rows("wf_1") == ["lapsed", "done"]
    assert events(site, "wf_1").count("AttemptLapsed") == 1


def test_a_worker_that_stood_still_past_its_lease_does_not_count_beside_its_successor(site: Site) -> None:
    site.serve_all_but_activities()
    first = site.serve_activities()
    site.start(WAITING, "wf_1")
    until(lambda: site.counted("begun"), "nothing began")
    os.kill(first.process.pid, signal.SIGSTOP)
    second = site.serve_activities()
    until(lambda: site.counted("begun")["wf_1"] == 2, lambda: f"not taken over: {site.calls}")
    os.kill(first.process.pid, signal.SIGCONT)
    site.open_the_gate()
    site.until_status("completed", "wf_1")
    assert site.rows("wf_1") == ["lapsed", "done"]
    assert events(site, "wf_1").count("StepSucceeded") == 1
    assert second.process.poll() is None


def test_attempts_of_another_process_hear_that_their_workflow_is_stopping(site: Site) -> None:
    site.serve_all_but_activities()
    site.serve_activities()
    site.start(WAITING, "wf_1", "wf_2")
    until(lambda: len(site.counted("begun")) == 2, "nothing began")
    site.cancel("wf_1")
    until(lambda: site.counted("told"), lambda: f"nobody was told: {site.calls}")
    site.until_status("cancelled", "wf_1")
    assert site.counted("told") == {"wf_1": 1}
    site.open_the_gate()
    site.until_status("completed", "wf_2")


def test_a_command_that_was_revoked_while_it_waited_in_the_queue_never_runs(site: Site) -> None:
    site.serve_all_but_activities()
    site.start(WAITING, "wf_1", "wf_2")
    until(lambda: site.depth(QUEUE) == 2, lambda: f"{site.depth(QUEUE)} messages in the queue")
    site.cancel("wf_1")
    site.until_status("cancelled", "wf_1")
    site.open_the_gate()
    site.serve_activities()
    site.until_status("completed", "wf_2")
    until(lambda: site.depth(QUEUE) == 0, lambda: f"{site.depth(QUEUE)} messages in the queue")
    assert site.counted("begun") == {"wf_2": 1}
    assert site.rows("wf_1") == ["revoked"]


def test_a_command_that_is_delivered_many_times_runs_once(site: Site) -> None:
    site.serve_all_but_activities()
    site.start(WAITING, "wf_1", "wf_2")
    messages = [outgoing_command(site.command(name)) for name in ("wf_1", "wf_2")]
    site.publish(messages * 10)
    workers = [site.serve_activities() for _ in range(2)]
    until(lambda: len(site.counted("begun")) == 2, "nothing began")
    site.publish(messages * 10)
    site.open_the_gate()
    site.until_status("completed", "wf_1", "wf_2")
    site.publish(messages * 10)
    until(lambda: site.depth(QUEUE) == 0, lambda: f"{site.depth(QUEUE)} messages in the queue")
    assert site.counted("begun") == {"wf_1": 1, "wf_2": 1}
    assert [worker.process.poll() for worker in workers] == [None, None]


def test_what_is_forged_or_cannot_be_read_is_parked_and_harms_nobody(site: Site) -> None:
    site.serve_all_but_activities()
    site.serve_activities()
    site.start(WAITING, "wf_1")
    until(lambda: site.counted("begun"), "nothing began")
    command = site.command("wf_1")
    site.publish_spoilt(outgoing_command(command), "{")
    site.publish([outgoing_command(dataclasses.replace(command, workflow_id="wf_9", message_id="wf_9/wait/run/1"))])
    until(lambda: site.depth(DEAD_COMMANDS_QUEUE) == 1, lambda: f"{site.depth(DEAD_COMMANDS_QUEUE)} are parked")
    site.open_the_gate()
    site.until_status("completed", "wf_1")
    until(lambda: site.depth(QUEUE) + site.depth(dead_queue(QUEUE)) == 0, "something is left in the queues")
    assert site.counted("begun") == {"wf_1": 1}


def test_a_forged_command_runs_nothing_and_the_real_one_does(site: Site) -> None:
    site.start(WAITING, "wf_1")
    command = site.command("wf_1")
    site.publish([outgoing_command(dataclasses.replace(command, input={"word": "forged"}))])
    site.open_the_gate()
    site.serve_activities()
    until(lambda: site.depth(dead_queue(QUEUE)) == 1, "the forged one is not in the dead queue")
    assert site.calls == []
    site.serve_all_but_activities()
    site.until_status("completed", "wf_1")
    until(lambda: site.depth(DEAD_COMMANDS_QUEUE) == 1, "the forged one is not parked")
    assert site.deployment.store.load("wf_1").settled["wait"].output == "hello"
    assert events(site, "wf_1").count("CommandDeadLettered") == 0
