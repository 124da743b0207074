"""One goal on its whole way through other languages: published, run, allowed and ended, by the example clients."""

import json
import signal
from pathlib import Path

from domain.events import ApprovalRecorded, StepSucceeded
from domain.rights import approval_service, foreign_worker, goal_service, listener
from domain.topology import OUTCOMES_QUEUE, Listener, activity_queue, dead_queue, listener_queue
from tests.integration.others.programs import run, running
from tests.integration.serving.conftest import deploy
from tests.integration.serving.deployment import Deployment, until

__all__ = ["deploy"]

GOAL = "count then sign"


async def test_a_goal_goes_its_whole_way_through_other_languages(deploy: type[Deployment], tmp_path: Path) -> None:
    deployment = deploy(  # type: ignore[call-arg]  # the fixture knows where
        modules="tests.integration.others.recipes", listeners=[Listener("desk", ("approval.requested.#",))]
    )
    url = deployment.vhost.url_of
    shop = deployment.login(goal_service("shop"))
    desk, sender = deployment.login(listener("desk")), deployment.login(approval_service("sender", [GOAL]))
    worker = deployment.login(foreign_worker("worker-papers", "papers"))
    deployment.settings["HANDRAIL_VOUCHING"] = json.dumps({sender.name: [GOAL]})
    deployment.settings["HANDRAIL_ANSWERING"] = json.dumps({worker.name: ["papers"]})
    serving = deployment.serve("all")
    table = str(tmp_path / "answered.jsonl")
    async with (
        running("activity_consumer.js", "papers", table, url=url(worker)) as consumer,
        running("approval_listener.js", listener_queue("desk"), url=url(desk)) as listening,
    ):
        given = json.dumps({"text": "four words in all"})
        code, out, errors = await run("goal_publisher.js", "order-7", GOAL, given, url=url(shop))
        assert code == 0, errors
        workflow_id = out.strip()
        line = await listening.line()
        asked = json.loads(line)
        assert (asked["workflow_id"], asked["action"]["input"]) == (workflow_id, {"words": 4})
        code, _, errors = await run("approval_sender.js", "approve", "bea", url=url(sender), given=line.encode())
        assert code == 0, errors
        until(
            lambda: deployment.statuses([workflow_id]) == {workflow_id: "completed"},
            lambda: f"{deployment.statuses([workflow_id])}\n{serving.log.read_text()}",
        )
        assert await consumer.end(signal.SIGTERM) == 0
    recorded = deployment.store.read(workflow_id, verified=True)
    voted = next(one for one in recorded if isinstance(one.event, ApprovalRecorded))
    assert (voted.event.decided_by, voted.actor) == ("bea", sender.name)  # type: ignore[attr-defined]
    counted = next(one for one in recorded if isinstance(one.event, StepSucceeded))
    assert (counted.event.output, counted.actor) == ({"words": 4}, worker.name)  # type: ignore[attr-defined]
    assert serving.terminate() == 0


async def test_who_was_not_named_does_not_answer_and_the_operator_is_told(
    deploy: type[Deployment], tmp_path: Path
) -> None:
    deployment = deploy(modules="tests.integration.others.recipes")  # type: ignore[call-arg]  # as above
    shop = deployment.login(goal_service("shop"))
    worker = deployment.login(foreign_worker("worker-papers", "papers"))
    serving = deployment.serve("all")
    assert "name its consumer's login in HANDRAIL_ANSWERING" in serving.log.read_text()
    url = deployment.vhost.url_of
    async with running("activity_consumer.js", "papers", str(tmp_path / "answered.jsonl"), url=url(worker)) as consumer:
        code, out, errors = await run("goal_publisher.js", "order-8", GOAL, '{"text": "two words"}', url=url(shop))
        assert code == 0, errors
        dead = dead_queue(OUTCOMES_QUEUE)
        until(lambda: (deployment.vhost.queue(dead) or {}).get("messages"), serving.log.read_text)
        assert await consumer.end(signal.SIGTERM) == 0
    assert deployment.statuses([out.strip()]) == {out.strip(): "executing"}
    said = deployment.run("doctor").stdout
    assert "mend  rights    nobody may answer for foreign queue papers" in said, said
    assert serving.terminate() == 0


async def test_a_command_that_the_broker_has_lost_is_issued_again_on_request_and_answered(
    deploy: type[Deployment], tmp_path: Path
) -> None:
    deployment = deploy(modules="tests.integration.others.recipes")  # type: ignore[call-arg]  # as above
    url = deployment.vhost.url_of
    shop = deployment.login(goal_service("shop"))
    worker = deployment.login(foreign_worker("worker-papers", "papers"))
    deployment.settings["HANDRAIL_ANSWERING"] = json.dumps({worker.name: ["papers"]})
    serving = deployment.serve("all")
    code, out, errors = await run("goal_publisher.js", "order-9", "only count", '{"text": "two words"}', url=url(shop))
    assert code == 0, errors
    workflow_id = out.strip()
    handed_over = "SELECT 1 FROM inbox WHERE workflow_id = ? AND state = 'handed_over'"
    until(lambda: deployment.store.query(handed_over, (workflow_id,)), serving.log.read_text)
    deployment.vhost.broker.ask("DELETE", "queues", deployment.vhost.name, activity_queue("papers"), "contents")

    done = deployment.run("reconcile")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 outstanding command issued again" in done.stdout
    async with running("activity_consumer.js", "papers", str(tmp_path / "answered.jsonl"), url=url(worker)) as consumer:
        until(
            lambda: deployment.statuses([workflow_id]) == {workflow_id: "completed"},
            lambda: f"{deployment.statuses([workflow_id])}\n{serving.log.read_text()}",
        )
        assert await consumer.end(signal.SIGTERM) == 0
    counted = next(one.event for one in deployment.store.read(workflow_id) if isinstance(one.event, StepSucceeded))
    assert (counted.attempt, counted.output) == (1, {"words": 2})
    assert serving.terminate() == 0
