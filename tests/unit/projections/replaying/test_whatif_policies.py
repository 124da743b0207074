"""The file of other policies: what it may hold, what it leaves as it is, and how a slip in it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from domain.definitions import Step
from domain.errors import InputInvalid
from domain.policies import Condition, GatePolicy
from projections.replaying.whatif_policies import OtherPolicies
from tests.unit.domain.recipes import act, define, planner, policy, reserve

GATE = GatePolicy(name="large", when=(Condition(path="amount", op=">", value=10),), verdict="deny")
REVIEW = define(
    act("look"),
    Step("sign", reserve("sign"), approval="board"),
    gates=[GATE],
    approvals=[policy("board", deadline=timedelta(hours=4)), policy("owner")],
    name="vendor review",
)
NEWER = define(act("look"), name="vendor review", version="2")
PLAIN = define(act("look"), name="plain")
PLANNED = define(planner=planner(), activities=[act("look")], name="planned")


def other(document: Any) -> OtherPolicies:
    return OtherPolicies(document, [REVIEW, NEWER, PLAIN, PLANNED], "file.toml")


def test_only_what_is_named_changes() -> None:
    found = other({"approvals": {"board": {"required": 2}}}).find("vendor review", "1")
    assert found is not None
    assert found.approvals["board"] == REVIEW.approvals["board"].model_copy(update={"required": 2})
    assert found.default_approval is found.approvals["board"]
    assert (found.approvals["owner"], found.gates, found.activities) == (
        REVIEW.approvals["owner"],
        REVIEW.gates,
        REVIEW.activities,
    )
    assert REVIEW.approvals["board"].required == 1


def test_what_is_for_one_definition_goes_before_what_is_for_all() -> None:
    policies = other(
        {
            "activities": {"look": {"retry": {"max_attempts": 7}}, "*": {"retry": {"max_attempts": 5}}},
            "definitions": {"Vendor Review": {"steps": {"look": {"retry": {"max_attempts": 9}}}}},
        }
    )
    review, plain = policies.find("vendor review", "1"), policies.find("plain", "1")
    assert review is not None
    assert plain is not None
    tries = [one.retry.max_attempts for one in (review.activities["look"], review.activities["undo_sign"])]
    assert tries == [7, 5]
    of_step, of_activity = review.activity_of("look", "look"), plain.activity_of("look", "look")
    assert of_step is not None
    assert of_activity is not None
    assert (of_step.retry.max_attempts, of_activity.retry.max_attempts) == (9, 7)
    planned = policies.find("planned", "1")
    assert planned is not None
    assert planned.planner is not None
    assert planned.planner.retry.max_attempts == 5


def test_a_policy_that_nobody_declared_is_the_default_one() -> None:
    found = other({"approvals": {"default": {"required": 2, "approvers": ["ann", "bob"]}}}).find("plain", "1")
    assert found is not None
    assert found.default_approval.required == 2
    assert not found.approvals


@pytest.mark.parametrize(
    ("written", "meant"), [("90s", 90), ("4h", 14_400), ("1.5d", 129_600), ("PT5M", 300), (30, 30), (0.5, 0.5)]
)
def test_a_length_of_time_is_written_as_people_do(written: Any, meant: float) -> None:
    found = other({"approvals": {"board": {"deadline": written}}}).find("vendor review", "1")
    assert found is not None
    assert found.approvals["board"].deadline == timedelta(seconds=meant)


def test_who_is_concerned() -> None:
    policies = other({"definitions": {"plain": {"activities": {"look": {"retry": {}}}}}})
    assert policies.concerns("plain", "1")
    assert not policies.concerns("vendor review", "1")
    assert [policies.may_concern(name) for name in ("Plain", "unheard of")] == [True, False]
    assert other({"gates": {"large": {"reason": "x"}}}).may_concern("unheard of")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "changes no policy; it may hold gates, approvals, activities"),
        ({"definitions": {"plain": {}}}, "changes no policy"),
        ({"approval": {}}, "approval: there is no such setting; there is: gates, approvals, activities, steps"),
        (
            {"definitions": {"plain": {"retry": {}}}},
            "definitions.plain.retry: there is no such setting; there is: gates",
        ),
        (
            {"activities": {"look": {"retries": {}}}},
            "activities.look.retries: there is no such setting; there is: retry",
        ),
        ({"activities": {"look": {}}}, "activities.look.retry: Field required"),
        ({"gates": []}, "gates: Input should be a valid dictionary"),
        (
            {"approvals": {"bord": {"required": 2}}},
            "approvals.bord: there is no such approval policy; there is: board, default, owner; is 'board' meant?",
        ),
        ({"gates": {"small": {}}}, "gates.small: there is no such gate; there is: large"),
        ({"without_gates": ["small"]}, "without_gates.small: there is no such gate"),
        (
            {"activities": {"pay": {"retry": {}}}},
            "activities.pay: there is no such activity; there is: look, plan, sign",
        ),
        ({"steps": {"pay": {"retry": {}}}}, "steps.pay: there is no such step"),
        ({"definitions": {"plains": {"without_gates": ["x"]}}}, "is 'plain' meant?"),
        ({"definitions": {"plain": {"gates": {"large": {}}}}}, "definitions.plain.gates.large: there is no such gate"),
        (
            {"approvals": {"board": {"requierd": 2}}},
            "approvals.board.requierd: there is no such setting; there is: approvers, deadline,",
        ),
        ({"approvals": {"board": {"required": "many"}}}, "approvals.board.required: Input should be a valid integer"),
        ({"approvals": {"board": {"required": 3}}}, "approvals.board: approval policy 'board' asks for 3 grants but"),
        ({"approvals": {"board": {"deadline": "soon"}}}, "; give seconds, or 90s, 4h, 2d, or PT4H"),
        ({"approvals": {"board": {"deadline": "99999999999d"}}}, "; give seconds, or 90s, 4h, 2d, or PT4H"),
        ({"approvals": {"board": {"deadline": "9999999d"}}}, "approvals.board.deadline: Input should be less than or"),
        ({"approvals": {"board": {"version": "2"}}}, "approvals.board.version: stays '1'"),
        ({"gates": {"large": {"name": "huge"}}}, "gates.large.name: stays 'large'"),
        ({"gates": {"large": {"verdict": "perhaps"}}}, "gates.large.verdict: Input should be 'allow', 'deny' or"),
        ({"gates": {"large": {"when": [{"path": "a", "op": "~"}]}}}, "gates.large.when.0.op: Input should be"),
        ({"gates": {"large": {"approval": "nobody"}}}, "gate 'large': unknown approval policy 'nobody'"),
        ({"gates": {"large": {"predicate": "odd"}}}, "gate 'large': unknown predicate 'odd'"),
        ({"new_gates": {"x": {"predicate": "odd"}}}, "unknown predicate 'odd'"),
        (
            {"definitions": {"vendor review": {"new_gates": {"large": {}}}}},
            "definitions.vendor review.new_gates.large: there is one of this name; change it without new_",
        ),
        ([], "the whole: Input should be a valid dictionary"),
    ],
)
def test_a_slip_is_refused_with_what_there_is(document: Any, words: str) -> None:
    with pytest.raises(InputInvalid) as refused:
        other(document)
    said = str(refused.value)
    assert said.startswith("file.toml: ")
    assert words in said
    assert "\n" not in said


def test_what_fits_one_version_only_is_put_in_place_there() -> None:
    document: Mapping[str, Any] = {
        "definitions": {"vendor review": {"new_gates": {"x": {"verdict": "require_approval", "approval": "board"}}}}
    }
    policies = other(document)
    assert policies.find("vendor review", "1") is not None
    assert policies.find("vendor review", "2") is None
    assert "unknown approval policy 'board'" in policies.why_not("vendor review", "2")
    assert not policies.why_not("vendor review", "1")
