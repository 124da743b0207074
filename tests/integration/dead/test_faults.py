"""Whatever cannot be accepted is listed under its fault, in the queue that a person looks into, with a reason."""

import asyncio
import json

from domain.ids import workflow_id_from_message
from domain.messages.bodies import Goal
from domain.messages.names import Fault
from domain.rights import administrator, approval_service
from domain.topology import UNROUTED_QUEUE
from tests.integration.dead.morgue import (
    DEAD_DEFAULT,
    DEAD_GOALS,
    GOALS,
    Morgue,
    dead_goal,
    ended,
    goal,
    taken_and_dropped,
)
from tests.integration.serving.deployment import until

MEGABYTE = 1024 * 1024


def test_whatever_services_send_wrongly_is_listed_by_its_fault(morgue: Morgue) -> None:
    deployment = morgue.deployment
    deployment.serve("all")
    desk = deployment.login(approval_service("desk"))
    morgue.publish(goal("twice"))
    ended(morgue, workflow_id_from_message(deployment.goal_service.name, "twice"))
    named = {"goals": DEAD_GOALS, "approvals": "handrail.dead.approvals", "commands": "handrail.dead.commands"}
    expected: dict[tuple[str, str], int] = {}

    def expect(queue: str, fault: Fault) -> None:
        key = named.get(queue, queue), fault.value
        expected[key] = expected.get(key, 0) + 1

    for fault, body in (
        (Fault.NOT_JSON, b"{"),
        (Fault.NOT_UTF8, b"\xff"),
        (Fault.TOO_LARGE, b" " * (MEGABYTE + 1)),
        (Fault.REJECTED, b" " * (8 * MEGABYTE + 1)),
        (Fault.TOO_DEEP, b'{"goal":' + b"[" * 500 + b"]" * 500 + b"}"),
        (Fault.DUPLICATE_KEY, b'{"goal": "a", "goal": "b"}'),
        (Fault.NUMBER_UNFIT, b'{"goal": "greet", "input": {"sum": 1e999}}'),
        (Fault.TEXT_UNFIT, b'{"goal": "greet\\u0000"}'),
        (Fault.SCHEMA, b"{}"),
        (Fault.DEFINITION_UNKNOWN, b'{"goal": "no such thing"}'),
        (Fault.SENDER_NOT_ALLOWED, b'{"goal": "greet", "requested_by": "rita"}'),
    ):
        morgue.publish_bad(f"bad-{fault}", body)
        expect("goals", fault)
    good = b'{"goal": "greet"}'
    for fault, changes in (
        (Fault.CONTENT_TYPE_UNFIT, {"content_type": "text/plain"}),
        (Fault.TYPE_MISSING, {"message_type": None}),
        (Fault.TYPE_UNKNOWN, {"message_type": "order.v1"}),
        (Fault.VERSION_UNKNOWN, {"message_type": Goal.wire_type.replace("v1", "v9")}),
        (Fault.USER_ID_MISSING, {"user_id": None}),
        (Fault.MESSAGE_ID_MISSING, {"message_id": None}),
        (Fault.MESSAGE_ID_UNFIT, {"message_id": "\x00" * 255}),
        (Fault.CONFLICT, {"message_id": "twice", "body": b'{"goal": "greet", "input": {"word": "other"}}'}),
    ):
        morgue.publish_bad(**{"message_id": f"bad-{fault}", "body": good, **changes})  # type: ignore[arg-type]  # a mix
        expect("goals", fault)
    morgue.publish_bad("gaol", good, key="gaol")
    expect(UNROUTED_QUEUE, Fault.UNROUTED)
    approval = (
        b'{"workflow_id": "wf_none", "approval_id": "a.1", "round": 1, "decision": "approve", "decided_by": "al", '
        b'"digest": "' + b"0" * 64 + b'"}'
    )
    morgue.publish_bad(
        "late", approval, exchange="handrail.approvals", key="approval.greet", login=desk, user_id=desk.name,
        message_type="handrail.approval.decide.v1",
    )  # fmt: skip
    expect("approvals", Fault.WORKFLOW_UNKNOWN)
    boss = deployment.login(administrator("boss"))
    morgue.publish_bad("order", exchange="handrail.commands", key="default", login=boss, user_id=boss.name)
    expect("commands", Fault.TYPE_UNKNOWN)

    until(lambda: sum(map(morgue.depth, {queue for queue, _ in expected})) == sum(expected.values()), morgue.groups)
    assert morgue.groups() == expected
    for one in morgue.document("list")["groups"]:
        assert len(one["example"]) > 10, one
        assert one["first"] or one["fault"] == "unrouted", one


def test_every_fault_that_there_is_makes_a_group_of_its_own(morgue: Morgue) -> None:
    letters = [dead_goal(number, fault) for number, fault in enumerate([*Fault, *Fault])]
    morgue.publish(*letters, login=morgue.deployment.runtime)
    assert morgue.groups() == {(DEAD_GOALS, fault.value): 2 for fault in Fault}


def test_a_list_says_how_to_see_one_and_what_becomes_of_senders_without_a_say(morgue: Morgue) -> None:
    morgue.publish(dead_goal(1, Fault.NOT_JSON), login=morgue.deployment.runtime)
    _, _, errors = morgue.run("list")
    assert "`handrail dead show MESSAGE_ID` (or QUEUE) shows one whole" in errors
    assert "HANDRAIL_VOUCHING" not in errors
    morgue.publish(dead_goal(2, Fault.SENDER_NOT_ALLOWED), login=morgue.deployment.runtime)
    code, _, errors = morgue.run("list")
    assert code == 0
    assert "sender_not_allowed: its sender was told nothing" in errors
    assert "name its login in HANDRAIL_VOUCHING or HANDRAIL_ANSWERING" in errors


def test_a_goal_that_nobody_settled_is_listed_and_replayed(morgue: Morgue) -> None:
    deployment = morgue.deployment
    morgue.publish(goal("m-1"))
    assert asyncio.run(taken_and_dropped(deployment.vhost.url, GOALS)) >= 10
    morgue.wait_for(DEAD_GOALS, 1)
    (group,) = morgue.document("list")["groups"]
    assert (group["fault"], group["count"]) == ("delivered_too_often", 1)
    assert "nobody settled it" in group["example"]
    assert group["first"]
    deployment.serve("all")
    morgue.act("replay", "--fault", "delivered_too_often")
    ended(morgue, workflow_id_from_message(deployment.goal_service.name, "m-1"))


def test_a_command_that_nobody_settled_is_told_to_its_workflow(morgue: Morgue) -> None:
    deployment = morgue.deployment
    deployment.serve("goals", "relay")
    morgue.publish(goal("m-1"))
    name = workflow_id_from_message(deployment.goal_service.name, "m-1")
    morgue.wait_for("handrail.activity.default", 1)
    assert asyncio.run(taken_and_dropped(deployment.vhost.url, "handrail.activity.default")) >= 10
    morgue.wait_for(DEAD_DEFAULT, 1)
    assert morgue.groups() == {(DEAD_DEFAULT, "delivered_too_often"): 1}
    deployment.serve("all")
    ended(morgue, name)
    (told,) = [one.event for one in deployment.store.read(name) if one.name == "CommandDeadLettered"]
    assert "delivered_too_often: it was delivered 10 times" in told.model_dump()["reason"]
    assert morgue.groups() == {}
    (shown,) = json.loads(deployment.run("failures", "--dead", "--json").stdout)
    assert (shown["workflow_id"], shown["status"], shown["help"]) == (name, "completed", "")
    assert shown["why"] == told.model_dump()["reason"]
    assert json.loads(deployment.run("timers", "--json").stdout) == []
