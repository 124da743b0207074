"""`handrail dead`: listed and shown without harm, sent again as what they were, thrown away on the record."""

import json

from domain.ids import workflow_id_from_message
from tests.integration.dead.morgue import DEAD_GOALS, Morgue, ended, goal


def test_what_is_looked_at_returns_to_its_queue_as_it_was(morgue: Morgue) -> None:
    morgue.deployment.serve("goals")
    morgue.publish(*(goal(f"m-{number}", "no such thing") for number in range(30)))
    morgue.publish_bad("odd", b"\xff\x1b[31m")
    morgue.wait_for(DEAD_GOALS, 31)
    first = morgue.document("show", "goals", "--limit", "100")
    second = morgue.document("show", DEAD_GOALS, "--limit", "100")
    for one in [*first, *second]:
        one["headers"].pop("x-delivery-count", None)
    assert sorted(first, key=str) == sorted(second, key=str)
    assert morgue.groups() == {(DEAD_GOALS, "definition_unknown"): 30, (DEAD_GOALS, "not_utf8"): 1}
    morgue.wait_for(DEAD_GOALS, 31)
    code, out, _ = morgue.run("show", "odd")
    assert code == 0
    assert "\x1b" not in out
    assert "body_base64: /xtbMzFt" in out
    assert "no such thing" not in out, "only the message that was asked for"


def test_a_replayed_goal_becomes_the_workflow_that_it_would_have_been_and_only_once(morgue: Morgue) -> None:
    deployment = morgue.deployment
    deployment.settings["HANDRAIL_MODULES"] = "deploy.examples.vendor_onboarding.definition"
    deployment.serve("goals")
    morgue.publish(goal("order-1"), goal("order-2"))
    morgue.wait_for(DEAD_GOALS, 2)
    deployment.processes[-1].terminate()

    del deployment.settings["HANDRAIL_MODULES"]
    deployment.serve("all")
    assert [one["act"] for one in morgue.act("replay", "--message-id", "order-1")] == ["replayed"]
    name = workflow_id_from_message(deployment.goal_service.name, "order-1")
    ended(morgue, name)
    assert deployment.store.load(name).requested_by == deployment.goal_service.name
    assert morgue.groups() == {(DEAD_GOALS, "definition_unknown"): 1}

    # Whoever replays what was replayed, or sends it anew, changes nothing.
    events = len(deployment.store.read(name))
    morgue.publish(goal("order-1"))
    morgue.act("replay", "--fault", "definition_unknown", "--rate", "50/s")
    ended(morgue, workflow_id_from_message(deployment.goal_service.name, "order-2"))
    assert len(deployment.store.read(name)) == events
    assert morgue.groups() == {}
    acts = morgue.document("list", "--acts")
    assert [(one["act"], one["message_id"], one["acted_by"], one["reason"]) for one in acts] == [
        ("replayed", "order-2", "olga", "mended"),
        ("replayed", "order-1", "olga", "mended"),
    ]


def test_a_replay_that_fails_again_comes_back_and_is_counted(morgue: Morgue) -> None:
    morgue.deployment.serve("goals")
    morgue.publish(goal("m-1", "no such thing"))
    morgue.wait_for(DEAD_GOALS, 1)
    for times in (1, 2):
        morgue.act("replay", "--queue", "goals")
        morgue.wait_for(DEAD_GOALS, 1)
        (shown,) = morgue.document("show", "m-1")
        assert (shown["replays"], shown["user_id"]) == (times, morgue.deployment.goal_service.name)


def test_a_dry_run_says_which_and_changes_nothing(morgue: Morgue) -> None:
    morgue.deployment.serve("goals")
    morgue.publish(goal("m-1", "no such thing"))
    morgue.publish_bad("m-2")
    morgue.wait_for(DEAD_GOALS, 2)
    for verb in ("replay", "discard"):
        code, out, _ = morgue.run(verb, "--fault", "not_json", "--dry-run")
        assert code == 0
        assert out.startswith(f"would {verb}  m-2  {DEAD_GOALS}  not_json")
        assert "m-1" not in out
    morgue.wait_for(DEAD_GOALS, 2)


def test_what_is_thrown_away_is_printed_whole_first(morgue: Morgue) -> None:
    morgue.deployment.serve("goals")
    morgue.publish_bad("m-1", b"\xffwhole")
    morgue.publish(goal("m-2", "no such thing"))
    morgue.wait_for(DEAD_GOALS, 2)
    code, out, errors = morgue.run("discard", "--message-id", "m-1", "--by", "olga", "--reason", "a test")
    assert code == 0, errors
    (thrown,) = [json.loads(line) for line in out.splitlines()]
    assert (thrown["act"], thrown["message_id"], thrown["body_base64"]) == ("discarded", "m-1", "/3dob2xl")
    assert morgue.groups() == {(DEAD_GOALS, "definition_unknown"): 1}
    logged = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert [one["message_id"] for one in logged if one["logger"] == "handrail.dead"] == ["m-1"]


def test_an_act_says_who_and_why_and_which(morgue: Morgue) -> None:
    for arguments, said in (
        (("replay", "--by", "olga", "--reason", "x"), "say which"),
        (("discard", "--queue", "goals", "--by", "olga"), "--reason is empty"),
        (("replay", "--queue", "nowhere", "--reason", "x"), "no dead queue known here"),
        (("replay", "--message-id", "m-9", "--reason", "x"), "no dead letter fits"),
        (("replay", "--queue", "goals", "--rate", "0/s", "--reason", "x"), "no rate"),
        (("show", "m-9"), "no dead letter 'm-9'"),
    ):
        code, _, errors = morgue.run(*arguments)
        assert (code, said in errors) == (2, True), errors
