"""In whose name a dead letter is sent again, and what happens where that is not allowed or not possible."""

from domain.events import ApprovalRequested
from domain.ids import workflow_id_from_message
from domain.messages import bodies
from domain.messages.writing import outgoing_approval
from domain.rights import approval_service, operator
from tests.integration.dead.morgue import DEAD_GOALS, GOALS, Morgue, dead_goal, ended, goal
from tests.integration.serving.deployment import until


def test_a_replayed_approval_is_still_that_of_the_service_that_sent_it(morgue: Morgue) -> None:
    deployment = morgue.deployment
    desk = deployment.login(approval_service("desk"))
    serving = deployment.serve("all")
    morgue.publish(goal("m-1", "asking"))
    name = workflow_id_from_message(deployment.goal_service.name, "m-1")
    until(lambda: deployment.store.exists(name) and deployment.store.load(name).ballots, "it never asked")
    asked = next(one.event for one in deployment.store.read(name) if isinstance(one.event, ApprovalRequested))
    decision = bodies.Approval(
        workflow_id=name, approval_id=asked.approval_id, round=asked.round, digest=asked.digest, decision="approve",
        decided_by="alice",
    )  # fmt: skip
    morgue.publish(outgoing_approval(decision, message_id="yes", definition="asking"), login=desk)
    morgue.wait_for("handrail.dead.approvals", 1)
    assert morgue.groups() == {("handrail.dead.approvals", "sender_not_allowed"): 1}

    serving.terminate()
    deployment.serve("all", HANDRAIL_VOUCHING=f'{{"{desk.name}": ["asking"]}}')
    morgue.act("replay", "--message-id", "yes")
    ended(morgue, name)
    decided = next(one for one in deployment.store.read(name) if one.name == "ApprovalRecorded")
    assert decided.actor == desk.name, "not the operator, who sent it again"
    assert decided.event.model_dump()["decided_by"] == "alice"


def test_what_came_from_nobody_is_replayed_in_nobodys_name(morgue: Morgue) -> None:
    morgue.deployment.serve("all")
    morgue.publish_bad("m-1", b'{"goal": "greet"}', user_id=None)
    morgue.wait_for(DEAD_GOALS, 1)
    morgue.act("replay", "--message-id", "m-1")
    morgue.wait_for(DEAD_GOALS, 1)
    (shown,) = morgue.document("show", "m-1")
    assert (shown["fault"], shown["user_id"], shown["replays"]) == ("user_id_missing", "", 1)
    assert not morgue.deployment.store.exists(workflow_id_from_message(morgue.operator.name, "m-1"))


def test_an_operator_without_the_tag_is_told_what_is_missing(morgue: Morgue) -> None:
    user = operator("plain")
    plain = morgue.deployment.vhost.login("plain", write=user.write, read=user.read)
    morgue.deployment.serve("goals")
    morgue.publish(*(goal(f"m-{number}", "no such thing") for number in range(5)))
    morgue.wait_for(DEAD_GOALS, 5)
    code, out, errors = morgue.run("replay", "--queue", "goals", "--by", "olga", "--reason", "mended", login=plain)
    assert code == 4, errors
    assert out.count("the broker's tag impersonator") == 5
    assert plain.name in out
    morgue.wait_for(DEAD_GOALS, 5)


def test_a_login_that_may_not_read_dead_queues_is_told_so(morgue: Morgue) -> None:
    morgue.publish(dead_goal(1), login=morgue.deployment.runtime)
    code, out, errors = morgue.run("list", login=morgue.deployment.goal_service)
    assert (code, out) == (2, "")
    assert f"cannot be read as {morgue.deployment.goal_service.name}: ACCESS_REFUSED" in errors
    assert "set HANDRAIL_BROKER_OPERATOR to a login with the role operator" in errors
    assert errors.count("\n") == 1


def test_a_message_whose_exchange_is_gone_stays_where_it_is(morgue: Morgue) -> None:
    morgue.deployment.serve("goals")
    morgue.publish(goal("m-1", "no such thing"))
    morgue.wait_for(DEAD_GOALS, 1)
    vhost = morgue.deployment.vhost
    vhost.broker.ask("DELETE", "exchanges", vhost.name, GOALS)
    code, out, errors = morgue.run("replay", "--message-id", "m-1", "--by", "olga", "--reason", "mended")
    assert code == 4, errors
    assert f"exchange {GOALS} is not there: `handrail topology apply` declares it" in out
    morgue.wait_for(DEAD_GOALS, 1)


def test_without_a_broker_it_says_which_it_cannot_reach(morgue: Morgue) -> None:
    ended = morgue.deployment.run("dead", "list", HANDRAIL_BROKER_OPERATOR="amqp://olga:secret@127.0.0.1:1/v")
    assert ended.returncode == 4
    assert "amqp://olga@127.0.0.1:1/v is not reached" in ended.stderr
    assert "secret" not in ended.stderr
