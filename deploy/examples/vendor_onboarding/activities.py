"""The activities: the thin part that touches the world (folder, register, clock) around the pure parts beside it."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from deploy.examples.vendor_onboarding.decision import Approval, Decision, UndecidedError, decide
from deploy.examples.vendor_onboarding.documents import CollectedPapers, collect_papers, rehearsed_failures
from deploy.examples.vendor_onboarding.folder import DocumentError
from deploy.examples.vendor_onboarding.inputs import register_path, vendor_folder
from deploy.examples.vendor_onboarding.planner import next_steps
from deploy.examples.vendor_onboarding.policy import shipped_policy
from deploy.examples.vendor_onboarding.register import RegisterBusy, RegisterError, ReleaseResult, VendorRegister
from deploy.examples.vendor_onboarding.request import PapersRequest, compose_request
from deploy.examples.vendor_onboarding.risk import RiskReport, assess, subjects_of
from deploy.examples.vendor_onboarding.screening import screen, shipped_watch_list
from handrail import (
    ArtifactRef,
    CompensationInput,
    Context,
    Denied,
    Finalization,
    NeedsApproval,
    Permanent,
    PlanProposal,
    PlanRequest,
    RetryPolicy,
    Transient,
    activity,
)

ARTIFACT_NAME = "onboarding_decision.json"
APPROVAL_POLICY = "vendor-risk"

_REGISTER_RETRY = RetryPolicy(
    max_attempts=5, initial_delay=timedelta(seconds=1), maximum_delay=timedelta(minutes=1), multiplier=2.0
)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CollectOrder(_Model):
    """Which folder to read, as of which day (by default today), for which register."""

    vendor_dir: str
    register_file: str | None = None
    review_date: date | None = None
    expected_vendor: str | None = None


class Collected(_Model):
    """The papers, and what the register knows of the vendor."""

    papers: CollectedPapers
    vendor_number: str | None
    register_file: str
    rehearsed_failures: int


class RequestOrder(_Model):
    """What to ask the vendor for, and for how long."""

    papers: CollectedPapers
    answer_within_days: int = Field(ge=1)


class ReserveOrder(_Model):
    """Whom to take a number for, in which register."""

    vendor_key: str
    legal_name: str
    register_file: str
    rehearsed_failures: int = Field(default=0, ge=0)


class ReservedNumber(_Model):
    """The number taken."""

    vendor_number: str


class ReleasedNumber(_Model):
    """What releasing came to; the number is null where none had been taken."""

    result: ReleaseResult
    vendor_number: str | None


class ScreenOrder(_Model):
    """Whom to screen."""

    papers: CollectedPapers


class DecisionOrder(_Model):
    """What to decide on; null is what did not come about."""

    papers: CollectedPapers
    risk: RiskReport | None = None
    approval: Approval | None = None
    vendor_number: str | None = None


@activity(effect="pure")
def plan_review(request: PlanRequest) -> PlanProposal:
    """Propose the next steps; see `planner`."""
    return next_steps(request, shipped_policy())


@activity(effect="pure")
def docs_collect(order: CollectOrder, context: Context) -> Collected:
    """Read and check the vendor's folder, and ask the register for the vendor's number.

    Raises:
        Permanent: the folder, a document or the register cannot be used.
        Transient: the register is busy.
    """
    folder = vendor_folder(order.vendor_dir)
    register = register_path(order.register_file, context.home)
    try:
        papers = collect_papers(
            folder,
            reviewed_on=order.review_date or datetime.now(UTC).date(),
            expected_vendor=order.expected_vendor,
        )
        failures = rehearsed_failures(folder)
        number = papers.vendor.vendor_number or VendorRegister(register).number_of(papers.vendor.vendor_key)
    except DocumentError as error:
        raise Permanent(str(error)) from error
    except RegisterError as error:
        raise _classified(error) from error
    return Collected(papers=papers, vendor_number=number, register_file=str(register), rehearsed_failures=failures)


@activity(effect="pure")
def papers_request(order: RequestOrder) -> PapersRequest:
    """Write the request for new papers; it is kept as this step's output, for whoever sends it."""
    return compose_request(order.papers, order.answer_within_days)


@activity(effect="idempotent", compensation="release_vendor_number", retry=_REGISTER_RETRY)
def reserve_vendor_number(order: ReserveOrder, context: Context) -> ReservedNumber:
    """Take a number for the vendor; under the same idempotency key always the same one.

    Raises:
        Permanent: the register refuses or cannot be used.
        Transient: the register is busy.
    """
    register = VendorRegister(Path(order.register_file))
    try:
        register.rehearse_failure(context.idempotency_key, order.rehearsed_failures)
        reservation = register.reserve(
            context.idempotency_key,
            vendor_key=order.vendor_key,
            legal_name=order.legal_name,
            at=datetime.now(UTC),
        )
    except RegisterError as error:
        raise _classified(error) from error
    return ReservedNumber(vendor_number=reservation.vendor_number)


@activity(effect="idempotent", retry=_REGISTER_RETRY)
def release_vendor_number(undone: CompensationInput) -> ReleasedNumber:
    """Give the number back; if none was ever taken, record that, so that none can be taken late.

    Raises:
        Permanent: the register cannot be used.
        Transient: the register is busy.
    """
    order = ReserveOrder.model_validate(undone.input)
    try:
        result, number = VendorRegister(Path(order.register_file)).release(undone.idempotency_key, at=datetime.now(UTC))
    except RegisterError as error:
        raise _classified(error) from error
    return ReleasedNumber(result=result, vendor_number=number)


@activity(effect="pure")
def policy_screen(order: ScreenOrder) -> RiskReport | NeedsApproval | Denied:
    """Screen the names and count the risk: pass, deny on a certain hit, or ask a person from the policy's limit on."""
    policy, watch_list = shipped_policy(), shipped_watch_list()
    hits = screen(
        subjects_of(order.papers),
        watch_list,
        possible_from=policy.match_possible_from,
        certain_from=policy.match_certain_from,
    )
    report = assess(order.papers, hits, policy, f"{watch_list.name}/{watch_list.version}")
    certain = report.certain_hit
    if certain is not None:
        return Denied(f"{certain.name} is {certain.listed_as} on the watch list ({certain.entry})")
    if report.needs_person or report.hits:
        evidence = report.model_dump(mode="json")
        return NeedsApproval("manual approval", evidence, policy=APPROVAL_POLICY, output=evidence)
    return report


@activity(effect="pure")
def final_decision(order: DecisionOrder) -> Decision | Denied:
    """Decide on the vendor; what nobody screened or approved is denied."""
    try:
        return decide(order.papers, order.risk, order.approval, order.vendor_number)
    except UndecidedError as error:
        return Denied(str(error))


@activity(effect="idempotent")
def write_decision(final: Finalization, context: Context) -> ArtifactRef:
    """Write `onboarding_decision.json`; the same decision gives the same bytes.

    Raises:
        Permanent: there is no decision, because an operator skipped that step.
    """
    decision = final.outputs.get("final_decision")
    if not isinstance(decision, dict):
        raise Permanent("final_decision has no output to write down; retry it or supply its output")
    document = {
        "workflow": final.workflow_id,
        "goal": final.goal,
        **Decision.model_validate(decision).model_dump(mode="json", exclude={"outcome"}),
        "decision": decision["outcome"],
    }
    data = json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    return context.write_artifact_sync(ARTIFACT_NAME, data.encode())


def _classified(error: RegisterError) -> Permanent | Transient:
    return Transient(str(error)) if isinstance(error, RegisterBusy) else Permanent(str(error))
