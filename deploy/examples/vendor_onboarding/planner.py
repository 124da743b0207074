"""The planner's rules: which steps come next, given how the earlier ones ended.

Asked first with nothing observed, then again whenever all steps so far have settled. Pure: the same request gives the
same proposal. Round by round:

1. collect the papers;
2. while papers are outstanding, ask the vendor and wait for new ones, then collect again, as often as the policy says;
3. papers in order: reserve a number if there is none yet, screen, decide. Papers still outstanding: decide (decline).
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from deploy.examples.vendor_onboarding.inputs import VendorInput
from deploy.examples.vendor_onboarding.policy import ReviewPolicy
from handrail import Observation, Permanent, PlannedStep, PlanProposal, PlanRequest, SignalWait, ref

PAPERS_SIGNAL = "papers"


def next_steps(request: PlanRequest, policy: ReviewPolicy) -> PlanProposal:
    """Propose what comes next.

    Raises:
        Permanent: the papers were never collected because an operator skipped that step.
    """
    collected = [seen for seen in request.observations if seen.activity == "docs_collect"]
    if not collected:
        return _collect(1, VendorInput.model_validate(request.input), request.input.get("vendor_dir"), None)
    latest = collected[-1]
    output = _output(latest)
    papers: Mapping[str, Any] = output["papers"]
    outstanding: list[str] = list(papers["outstanding"])
    if not outstanding:
        return _review(latest.step, has_number=output.get("vendor_number") is not None)
    replies = [seen for seen in request.observations if seen.step.startswith("new_papers")]
    if len(replies) >= len(collected):
        folder = _answered_folder(replies[-1]) or papers["folder"]
        return _collect(
            len(collected) + 1,
            VendorInput.model_validate(request.input),
            folder,
            papers["vendor"]["vendor_key"],
        )
    if len(replies) < policy.papers_requests:
        return _ask(len(replies) + 1, latest.step, outstanding, papers["vendor"]["vendor_key"], policy)
    return PlanProposal(
        steps=(_final_decision(latest.step, ()),),
        done=True,
        reason=f"still outstanding after {policy.papers_requests} requests: {', '.join(outstanding)}",
    )


def _collect(number: int, given: VendorInput, vendor_dir: str | None, expected_vendor: str | None) -> PlanProposal:
    step = PlannedStep(
        id=_numbered("docs_collect", number),
        activity="docs_collect",
        input={
            "vendor_dir": vendor_dir or given.vendor_dir,
            "register_file": given.register_file,
            "review_date": given.review_date.isoformat() if given.review_date else None,
            "expected_vendor": expected_vendor,
        },
    )
    return PlanProposal(steps=(step,), done=False, reason="the papers come first")


def _ask(number: int, collected: str, outstanding: list[str], vendor_key: str, policy: ReviewPolicy) -> PlanProposal:
    request = PlannedStep(
        id=_numbered("papers_request", number),
        activity="papers_request",
        input={"papers": ref(f"steps.{collected}.papers"), "answer_within_days": policy.papers_within_days},
    )
    answer = PlannedStep(
        id=_numbered("new_papers", number),
        wait_signal=SignalWait(name=PAPERS_SIGNAL, correlation=vendor_key),
        after=(request.id,),
        timeout=timedelta(days=policy.papers_within_days),
        on_timeout="fail",
    )
    return PlanProposal(steps=(request, answer), done=False, reason=f"outstanding: {', '.join(outstanding)}")


def _review(collected: str, *, has_number: bool) -> PlanProposal:
    reserve = PlannedStep(
        id="reserve_vendor_number",
        activity="reserve_vendor_number",
        input={
            "vendor_key": ref(f"steps.{collected}.papers.vendor.vendor_key"),
            "legal_name": ref(f"steps.{collected}.papers.vendor.legal_name"),
            "register_file": ref(f"steps.{collected}.register_file"),
            "rehearsed_failures": ref(f"steps.{collected}.rehearsed_failures"),
        },
    )
    before = () if has_number else (reserve,)
    screen = PlannedStep(
        id="policy_screen",
        activity="policy_screen",
        input={"papers": ref(f"steps.{collected}.papers")},
        after=tuple(step.id for step in before),
    )
    return PlanProposal(
        steps=(*before, screen, _final_decision(collected, (*before, screen))),
        done=True,
        reason="the papers are in order" + ("" if has_number else "; the vendor has no number yet"),
    )


def _final_decision(collected: str, before: tuple[PlannedStep, ...]) -> PlannedStep:
    planned = {step.id for step in before}
    reserved = "reserve_vendor_number" in planned
    screened = "policy_screen" in planned
    number = "steps.reserve_vendor_number.vendor_number" if reserved else f"steps.{collected}.vendor_number"
    return PlannedStep(
        id="final_decision",
        activity="final_decision",
        input={
            "papers": ref(f"steps.{collected}.papers"),
            "risk": ref("steps.policy_screen") if screened else None,
            "approval": ref("approvals.policy_screen") if screened else None,
            "vendor_number": ref(number),
        },
        after=("policy_screen",) if screened else (),
    )


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}_{number}"


def _output(seen: Observation) -> Mapping[str, Any]:
    if not isinstance(seen.output, Mapping) or "papers" not in seen.output:
        raise Permanent(f"{seen.step} ended {seen.status} without papers; retry it or supply its output")
    return seen.output


def _answered_folder(reply: Observation) -> str | None:
    """Return the folder that the vendor's answer names; without one, the papers were put into the folder as before."""
    folder = reply.output.get("vendor_dir") if isinstance(reply.output, Mapping) else None
    return folder if isinstance(folder, str) and folder else None
