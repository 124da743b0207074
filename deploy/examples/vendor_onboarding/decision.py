"""The decision on a vendor: from the papers, the risk and what a person said, to one word and its reasons.

Pure. It refuses to approve what nobody screened, and what needed a person and had none: an operator may skip a step,
but not by that approve a vendor.
"""

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict

from deploy.examples.vendor_onboarding.documents import CollectedPapers, PaperCheck
from deploy.examples.vendor_onboarding.risk import Finding, RiskReport

# The runtime's word for an approval that was granted.
GRANTED = "approved"

Outcome = Literal["approved", "approved_with_controls", "declined"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Approval(BaseModel):
    """What a person said of the screening. Unknown fields are left aside: the runtime may record more than we need."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    decision: str
    decided_by: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    reason: str | None = None


class Decision(_Frozen):
    """The decision, with everything that it rests on. Digests are SHA-256 of the documents' bytes."""

    outcome: Outcome
    reasons: tuple[str, ...]
    controls: tuple[str, ...]
    approvers: tuple[str, ...]
    vendor_key: str
    legal_name: str
    vendor_number: str | None
    reviewed_on: date
    risk_points: int | None
    findings: tuple[Finding, ...]
    policy: str | None
    watch_list: str | None
    papers: tuple[PaperCheck, ...]


class UndecidedError(ValueError):
    """There is no ground to decide on; the message says what is missing."""


def decide(
    papers: CollectedPapers, risk: RiskReport | None, approval: Approval | None, vendor_number: str | None
) -> Decision:
    """Decide on a vendor.

    Raises:
        UndecidedError: the papers are in order, but nobody screened the vendor, or nobody approved what needed it.
    """
    if papers.outstanding:
        notes = [f"{check.paper} is {check.state}: {check.note}" for check in papers.papers if check.state != "ok"]
        return _decision("declined", notes, papers, risk, None, vendor_number)
    if risk is None:
        raise UndecidedError("the vendor was not screened")
    granted = approval is not None and approval.decision == GRANTED
    if approval is not None and not granted:
        raise UndecidedError(f"the approval says {approval.decision}")
    if (risk.needs_person or risk.hits) and not granted:
        raise UndecidedError(f"{risk.points} points need a person's approval, and nobody gave it")
    outcome: Outcome = "approved_with_controls" if approval and approval.controls else "approved"
    return _decision(outcome, _reasons(risk, approval), papers, risk, approval, vendor_number)


def _reasons(risk: RiskReport, approval: Approval | None) -> list[str]:
    reasons = [f"risk of {risk.points} points; a person decides from {risk.review_from_points} on"]
    if approval is not None:
        said = f": {approval.reason}" if approval.reason else ""
        reasons.append(f"approved by {', '.join(approval.decided_by)}{said}")
    return reasons


def _decision(
    outcome: Outcome,
    reasons: list[str],
    papers: CollectedPapers,
    risk: RiskReport | None,
    approval: Approval | None,
    vendor_number: str | None,
) -> Decision:
    return Decision(
        outcome=outcome,
        reasons=tuple(reasons),
        controls=approval.controls if approval else (),
        approvers=approval.decided_by if approval else (),
        vendor_key=papers.vendor.vendor_key,
        legal_name=papers.vendor.legal_name,
        vendor_number=vendor_number,
        reviewed_on=papers.reviewed_on,
        risk_points=risk.points if risk else None,
        findings=risk.findings if risk else (),
        policy=risk.policy if risk else None,
        watch_list=risk.watch_list if risk else None,
        papers=papers.papers,
    )
