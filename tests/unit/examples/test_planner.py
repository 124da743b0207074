"""The planner's rules: what comes next after each way in which the earlier steps may have ended."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.examples.vendor_onboarding.planner import next_steps
from deploy.examples.vendor_onboarding.policy import shipped_policy
from handrail import Observation, Permanent, PlannedStep, PlanProposal, PlanRequest, ref
from tests.unit.examples.folders import collected

POLICY = shipped_policy()


def observed(step: str, activity: str | None, output: Any, status: str = "ok") -> Observation:
    return Observation(step=step, activity=activity, status=status, output=output)


def collected_step(step: str, folder: Path, *, number: str | None, **changes: dict[str, Any]) -> Observation:
    papers = collected(folder, changes).model_dump(mode="json")
    return observed(
        step,
        "docs_collect",
        {"papers": papers, "vendor_number": number, "register_file": "/r.sqlite", "rehearsed_failures": 0},
    )


def propose(*observations: Observation, given: dict[str, Any] | None = None) -> PlanProposal:
    request = PlanRequest(goal="vendor onboarding review", input=given or {}, observations=observations)
    proposal = next_steps(request, POLICY)
    assert proposal == next_steps(request, POLICY)
    assert proposal.reason
    return proposal


def shape(proposal: PlanProposal) -> tuple[list[tuple[str, str | None, tuple[str, ...]]], bool]:
    return [(step.id, step.activity, step.after) for step in proposal.steps], proposal.done


def only(proposal: PlanProposal) -> PlannedStep:
    (step,) = proposal.steps
    return step


EXPIRED = {"insurance": {"expires": "2001-12-31"}}


def test_the_papers_come_first_from_the_default_vendor() -> None:
    proposal = propose()
    assert shape(proposal) == ([("docs_collect", "docs_collect", ())], False)
    assert only(proposal).input == {
        "vendor_dir": "northwind", "register_file": None, "review_date": None, "expected_vendor": None,
    }  # fmt: skip


def test_what_was_given_is_handed_on() -> None:
    given = {"vendor_dir": "some/where", "register_file": "r.sqlite", "review_date": "2030-06-15"}
    assert only(propose(given=given)).input == given | {"expected_vendor": None}


def test_a_vendor_with_a_number_is_screened_and_decided_on(tmp_path: Path) -> None:
    proposal = propose(collected_step("docs_collect", tmp_path, number="V-1"))
    assert shape(proposal) == (
        [("policy_screen", "policy_screen", ()), ("final_decision", "final_decision", ("policy_screen",))],
        True,
    )
    assert proposal.steps[1].input == {
        "papers": ref("steps.docs_collect.papers"),
        "risk": ref("steps.policy_screen"),
        "approval": ref("approvals.policy_screen"),
        "vendor_number": ref("steps.docs_collect.vendor_number"),
    }


def test_a_vendor_without_a_number_gets_one_before_the_screening(tmp_path: Path) -> None:
    proposal = propose(collected_step("docs_collect", tmp_path, number=None))
    assert shape(proposal) == (
        [
            ("reserve_vendor_number", "reserve_vendor_number", ()),
            ("policy_screen", "policy_screen", ("reserve_vendor_number",)),
            ("final_decision", "final_decision", ("policy_screen",)),
        ],
        True,
    )
    decision = proposal.steps[2].input
    assert decision is not None
    assert decision["vendor_number"] == ref("steps.reserve_vendor_number.vendor_number")


def test_outstanding_papers_are_asked_for_with_a_deadline(tmp_path: Path) -> None:
    proposal = propose(collected_step("docs_collect", tmp_path, number=None, **EXPIRED))
    request, wait = proposal.steps
    assert (request.id, request.activity, proposal.done) == ("papers_request", "papers_request", False)
    assert "insurance" in proposal.reason
    assert (wait.id, wait.after, wait.on_timeout) == ("new_papers", ("papers_request",), "fail")
    assert wait.timeout == timedelta(days=POLICY.papers_within_days)
    assert wait.wait_signal is not None
    assert (wait.wait_signal.name, wait.wait_signal.correlation) == ("papers", "oakline")


@pytest.mark.parametrize(
    ("answer", "folder"),
    [({"vendor_dir": "/new"}, "/new"), ({}, None), (None, None), ({"vendor_dir": ""}, None), ({"vendor_dir": 7}, None)],
)
def test_after_the_answer_the_papers_are_collected_again(answer: Any, folder: str | None, tmp_path: Path) -> None:
    proposal = propose(
        collected_step("docs_collect", tmp_path, number=None, **EXPIRED),
        observed("papers_request", "papers_request", {}),
        observed("new_papers", None, answer),
    )
    assert shape(proposal) == ([("docs_collect_2", "docs_collect", ())], False)
    again = only(proposal).input
    assert again is not None
    assert again["vendor_dir"] == (folder or str(tmp_path))
    assert again["expected_vendor"] == "oakline"


def test_after_good_papers_the_review_goes_on_with_the_latest(tmp_path: Path) -> None:
    proposal = propose(
        collected_step("docs_collect", tmp_path / "old", number=None, **EXPIRED),
        observed("papers_request", "papers_request", {}),
        observed("new_papers", None, {}),
        collected_step("docs_collect_2", tmp_path / "new", number="V-1"),
    )
    assert [step.id for step in proposal.steps] == ["policy_screen", "final_decision"]
    assert proposal.done
    assert proposal.steps[0].input == {"papers": ref("steps.docs_collect_2.papers")}


def test_asking_ends_and_the_vendor_is_declined(tmp_path: Path) -> None:
    observations: list[Observation] = []
    asked = 0
    for round_number in range(1, 10):
        suffix = "" if round_number == 1 else f"_{round_number}"
        observations.append(
            collected_step(f"docs_collect{suffix}", tmp_path / str(round_number), number=None, **EXPIRED)
        )
        proposal = propose(*observations)
        if proposal.done:
            break
        asked += 1
        assert [step.id for step in proposal.steps] == [f"papers_request{suffix}", f"new_papers{suffix}"]
        observations.append(observed(f"papers_request{suffix}", "papers_request", {}))
        observations.append(observed(f"new_papers{suffix}", None, {}))
        assert only(propose(*observations)).activity == "docs_collect"
    assert asked == POLICY.papers_requests
    decision = only(proposal)
    assert (decision.id, decision.after) == ("final_decision", ())
    assert decision.input is not None
    assert decision.input["risk"] is None
    assert decision.input["papers"] == ref(f"steps.docs_collect_{asked + 1}.papers")


def test_skipped_papers_stop_the_review_with_the_way_out() -> None:
    with pytest.raises(Permanent, match="docs_collect ended skipped without papers; retry it or supply its output"):
        propose(observed("docs_collect", "docs_collect", None, status="skipped"))


def test_no_two_rounds_use_a_step_id_twice(tmp_path: Path) -> None:
    seen: list[str] = []
    observations: list[Observation] = []
    for round_number in range(1, 4):
        proposal = propose(*observations)
        seen.extend(step.id for step in proposal.steps)
        step_id = only(proposal).id
        observations.append(collected_step(step_id, tmp_path / str(round_number), number=None, **EXPIRED))
        proposal = propose(*observations)
        seen.extend(step.id for step in proposal.steps)
        observations.extend(observed(step.id, step.activity, {}) for step in proposal.steps)
    assert len(seen) == len(set(seen))
