"""Processes over RabbitMQ and PostgreSQL: one connected graph, whoever dies and however long a person takes."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from opentelemetry.sdk.trace import TracerProvider

from deploy.client import Client
from domain.events import ApprovalRequested
from domain.ids import workflow_id_from_message
from domain.messages import bodies
from domain.messages.names import TRACEPARENT
from domain.messages.writing import outgoing_approval, outgoing_goal
from domain.transport import Outgoing, Published
from producers.publisher import AmqpPublisher
from tests.integration.serving.deployment import Deployment, until
from tests.servers.collector import Collected, Collector, Node, components
from tests.servers.rabbitmq import Login

GOAL: Node = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
DECISION: Node = ("1bf7651916cd43dd8448eb211c80319c", "c7ad6b7169203331")

Deploy = Callable[[], Deployment]


def publish(deployment: Deployment, login: Login, message: Outgoing, node: Node) -> None:
    """As another service does that traces itself."""
    traced = replace(message, headers={**message.headers, TRACEPARENT: f"00-{node[0]}-{node[1]}-01"})

    async def published() -> list[Published]:
        publisher = AmqpPublisher(deployment.vhost.url_of(login), name="another service")
        await publisher.start()
        try:
            return await publisher.publish([traced])
        finally:
            await publisher.close()

    assert asyncio.run(published()) == [Published.CONFIRMED]


def begin(deployment: Deployment, goal: str) -> str:
    publish(deployment, deployment.goal_service, outgoing_goal(bodies.Goal(goal=goal), message_id="one"), GOAL)
    return workflow_id_from_message(deployment.goal_service.name, "one")


def grant(deployment: Deployment, workflow_id: str) -> None:
    (asked,) = [one.event for one in deployment.store.read(workflow_id) if isinstance(one.event, ApprovalRequested)]
    body = bodies.Approval(
        workflow_id=workflow_id,
        approval_id=asked.approval_id,
        round=asked.round,
        decision="approve",
        digest=asked.digest,
        decided_by="alice",
    )
    message = outgoing_approval(body, message_id="granted", definition="undone")
    publish(deployment, deployment.runtime, message, DECISION)


def until_told(
    collector: Collector, deployment: Deployment, workflow_id: str, status: str, *, lost: bool = False
) -> None:
    """Wait until the workflow has come to this, and all spans that lead there have come, but for what is lost."""
    until(
        lambda: deployment.statuses([workflow_id]).get(workflow_id) == status,
        lambda: f"{deployment.statuses([workflow_id])}: {[one.name for one in deployment.store.read(workflow_id)]}",
    )
    version = deployment.store.load(workflow_id).version

    def told() -> bool:
        spans = collector.of(workflow_id)
        reached = any(one.attributes.get("handrail.workflow.version") == version for one in spans)
        return reached and len(components(spans)) == 1 and (lost or not (dangling(spans) or unsent(collector, spans)))

    until(told, lambda: tree(collector.of(workflow_id)))


def dangling(spans: list[Collected]) -> set[Node]:
    """What is pointed to and never came, but for what other services sent."""
    return {node for one in spans for node in one.above} - {one.node for one in spans} - {GOAL, DECISION}


def unsent(collector: Collector, spans: list[Collected]) -> set[Node]:
    """The messages that must have been sent, and of whose sending no span has come: it is linked to each of them."""
    sends = [one for one in collector.spans if one.name.startswith("send handrail.") and one.kind == "client"]
    claimed = {node for one in spans if one.name.startswith("claim ") for node in one.links}
    told = {one.node for one in spans if one.name == "create handrail.events"}
    return (claimed | told) - {node for one in sends for node in one.links}


def tree(spans: list[Collected]) -> str:
    return "\n".join(
        [f"{one.span} {one.parent or '-':16} {one.name} {[span for _, span in one.links]}" for one in spans]
        + [f"dangling: {dangling(spans)}", f"groups: {[len(group) for group in components(spans)]}"]
    )


def counted(spans: list[Collected]) -> Mapping[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for one in spans:
        key = (one.name, one.kind)
        found[key] = found.get(key, 0) + 1
    return found


def heard(deployment: Deployment) -> set[str]:
    """The `traceparent` of every message that a listening service has been sent; each has one."""
    vhost = deployment.vhost
    asked = {"count": 100, "ackmode": "ack_requeue_true", "encoding": "auto"}
    (queue,) = [name for name in vhost.queues() if "listener.desk" in name]
    messages = vhost.broker.ask("POST", "queues", vhost.name, queue, "get", body=asked)
    return {one["properties"]["headers"][TRACEPARENT] for one in messages}


def test_a_workflow_that_waits_outlives_its_process_and_is_undone_is_one_graph(
    traced: Deploy, collector: Collector
) -> None:
    deployment = traced()
    deciding = deployment.serve("goals", "approvals", "outcomes", "relay", "timer")
    deployment.serve("activities")
    name = begin(deployment, "undone")
    until_told(collector, deployment, name, "blocked")
    deciding.kill9()
    waited = time.time_ns()

    deployment.serve("goals", "approvals", "outcomes", "relay", "timer")
    grant(deployment, name)
    until_told(collector, deployment, name, "compensated")

    spans = collector.of(name)
    assert {one.trace for one in spans} == {spans[0].trace}
    assert not [one for one in spans if one.began <= waited <= one.ended], "a span is open while a person is awaited"
    assert len({one.instance for one in spans}) == 3
    taken = {one.name: one for one in spans if one.kind == "consumer"}
    goal = taken["process handrail.goals:goal:handrail.goals"]
    assert goal.links == (GOAL,)
    (decision,) = [one for name, one in taken.items() if name.startswith("process handrail.approvals:approval.undone")]
    assert decision.links == (DECISION,)
    (begun,) = [one for one in spans if one.name == "invoke_workflow undone"]
    assert begun.parent == goal.span
    assert [one.parent for one in spans if one.name == "decide StartWorkflow"] == [begun.span]
    seen = counted(spans)
    for expected, times in {
        ("execute_tool put", "internal"): 2,
        ("execute_tool refuse", "internal"): 1,
        ("execute_tool put_back", "internal"): 2,
        ("create handrail.commands:default", "producer"): 5,
        # What a worker's own decision asks for next it claims with that decision: no message is sent then.
        ("claim default", "internal"): 2,
        ("process handrail.commands:default:handrail.activity.default", "consumer"): 2,
    }.items():
        assert seen.get(expected) == times, tree(spans)
    told = {one.span for one in spans if one.name == "create handrail.events"}
    assert heard(deployment) == {f"00-{spans[0].trace}-{span}-01" for span in told}
    (failed,) = [one for one in spans if one.name == "execute_tool refuse"]
    assert (failed.failed, failed.attributes["error.type"]) == (True, "permanent")


async def test_a_goal_of_a_program_that_traces_itself_is_linked_to_its_span(
    traced: Deploy, collector: Collector
) -> None:
    deployment = traced()
    deployment.serve("goals")
    tracer = TracerProvider().get_tracer("a shop")
    async with Client(deployment.vhost.url_of(deployment.goal_service)) as client:
        with tracer.start_as_current_span("an order") as span:
            name = await client.submit("one", message_id="one")
    context = span.get_span_context()
    (taken,) = until(
        lambda: [one for one in collector.of(name) if one.kind == "consumer"], "the goal's span never came"
    )
    assert taken.links == ((f"{context.trace_id:032x}", f"{context.span_id:016x}"),)


def test_spans_of_author_code_belong_to_the_attempt(traced: Deploy, collector: Collector) -> None:
    deployment = traced()
    deployment.serve("all")
    name = begin(deployment, "one")
    until_told(collector, deployment, name, "completed")
    (attempt,) = [one for one in collector.of(name) if one.name == "execute_tool put"]
    own = until(lambda: [one for one in collector.spans if one.scope == "author"], "its own span never came")
    assert [(one.name, one.trace, one.parent) for one in own] == [("author's own", attempt.trace, attempt.span)]


def test_a_worker_that_takes_its_spans_with_it_leaves_one_graph(traced: Deploy, collector: Collector) -> None:
    deployment = traced()
    deployment.settings["HANDRAIL_LEASE_SECONDS"] = "1"
    deployment.serve("goals", "outcomes", "relay", "timer")
    worker = deployment.serve("activities", DAWDLE="yes", OTEL_BSP_SCHEDULE_DELAY="600000")
    name = begin(deployment, "killed")
    until((deployment.folder / "gate").exists, "the attempt never began")
    worker.kill9()
    deployment.serve("activities")
    until_told(collector, deployment, name, "completed", lost=True)
    spans = collector.of(name)
    assert dangling(spans), "what the worker had not told is lost with it"
    assert [one for one in spans if one.attributes.get("handrail.trigger") == "LapseAttempt"]
    attempts = [one.attributes["handrail.attempt"] for one in spans if one.name == "execute_tool dawdle"]
    assert min(attempts) > 1


def test_a_collector_that_refuses_everything_disturbs_nobody(traced: Deploy, collector: Collector) -> None:
    deployment = traced()
    collector.refusing = True
    serving = deployment.serve("all")
    name = begin(deployment, "one")
    until(lambda: deployment.statuses([name]).get(name) == "completed", lambda: f"{deployment.statuses([name])}")
    until(lambda: collector.asked, "it was never told anything")
    assert serving.terminate() == 0
    assert collector.spans == []
