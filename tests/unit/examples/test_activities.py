"""The activities as they are, called with the shipped vendors: each vendor shows what it is shipped for."""

import json
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest

from deploy.examples.vendor_onboarding import activities
from deploy.examples.vendor_onboarding.activities import (
    Collected,
    CollectOrder,
    DecisionOrder,
    ReleasedNumber,
    RequestOrder,
    ReservedNumber,
    ReserveOrder,
    ScreenOrder,
)
from deploy.examples.vendor_onboarding.decision import Approval, Decision
from deploy.examples.vendor_onboarding.definition import vendor_onboarding_review
from deploy.examples.vendor_onboarding.inputs import DEFAULT_VENDOR, SHIPPED_VENDORS, register_path, vendor_folder
from deploy.examples.vendor_onboarding.request import PapersRequest
from deploy.examples.vendor_onboarding.risk import RiskReport
from handrail import (
    ArtifactRef,
    CompensationInput,
    Context,
    Denied,
    Finalization,
    NeedsApproval,
    Permanent,
    PlanRequest,
    Transient,
)
from tests.unit.examples.folders import write_folder

VENDORS = sorted(path.name for path in SHIPPED_VENDORS.iterdir())
# Far apart: what a shipped vendor shows does not depend on the day it is run.
DAYS = [date(2002, 1, 1), date(2030, 6, 15), date(2098, 12, 1)]


class StandInContext:
    """What the activities use of their context."""

    def __init__(self, home: Path, key: str = "wf_001/step/run") -> None:
        self.home = home
        self.idempotency_key = key
        self.written: dict[str, bytes] = {}

    def write_artifact_sync(self, name: str, data: bytes) -> ArtifactRef:
        self.written[name] = data
        return ArtifactRef(name=name, digest="0" * 64, size=len(data))


@pytest.fixture
def context(tmp_path: Path) -> StandInContext:
    return StandInContext(tmp_path)


def collect(context: StandInContext, vendor: str, day: date | None = DAYS[1], **fields: Any) -> Collected:
    order = CollectOrder(vendor_dir=vendor, review_date=day, **fields)
    return cast("Collected", activities.docs_collect(order, cast("Context", context)))


def screened(context: StandInContext, vendor: str, day: date = DAYS[1]) -> RiskReport | NeedsApproval | Denied:
    answer = activities.policy_screen(ScreenOrder(papers=collect(context, vendor, day).papers))
    return cast("RiskReport | NeedsApproval | Denied", answer)


def reserve(context: StandInContext, order: ReserveOrder) -> ReservedNumber:
    return cast("ReservedNumber", activities.reserve_vendor_number(order, cast("Context", context)))


def release(context: StandInContext, order: ReserveOrder, output: dict[str, Any] | None) -> ReleasedNumber:
    undone = CompensationInput(
        input=order.model_dump(mode="json"), output=output, idempotency_key=context.idempotency_key
    )
    return cast("ReleasedNumber", activities.release_vendor_number(undone))


def order_for(context: StandInContext, vendor: str) -> ReserveOrder:
    found = collect(context, vendor)
    return ReserveOrder(
        vendor_key=found.papers.vendor.vendor_key,
        legal_name=found.papers.vendor.legal_name,
        register_file=found.register_file,
        rehearsed_failures=found.rehearsed_failures,
    )


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize("vendor", VENDORS)
def test_only_the_expired_vendor_has_papers_outstanding(vendor: str, day: date, context: StandInContext) -> None:
    assert collect(context, vendor, day).papers.outstanding == (("insurance",) if vendor == "saltmarsh" else ())


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize(
    ("vendor", "answer"),
    [
        ("northwind", NeedsApproval),
        ("brightwater", RiskReport),
        ("blackmere", Denied),
        ("saltmarsh_renewed", RiskReport),
        ("quillmark", RiskReport),
        ("ferrowood", NeedsApproval),
    ],
)
def test_each_vendor_gets_the_answer_it_is_shipped_for(
    vendor: str, answer: type, day: date, context: StandInContext
) -> None:
    assert type(screened(context, vendor, day)) is answer


def test_the_default_vendor_has_a_number_and_asks_for_a_person(context: StandInContext) -> None:
    assert collect(context, DEFAULT_VENDOR).vendor_number == "V-104417"
    answer = screened(context, DEFAULT_VENDOR)
    assert isinstance(answer, NeedsApproval)
    assert (answer.reason, answer.policy) == ("manual approval", "vendor-risk")
    assert RiskReport.model_validate(answer.output).needs_person
    assert answer.evidence == answer.output
    policy = vendor_onboarding_review.approvals["vendor-risk"]
    assert (len(policy.proposed_controls), policy.four_eyes, policy.required) == (1, True, 1)


def test_the_listed_vendor_is_denied_by_name(context: StandInContext) -> None:
    answer = screened(context, "blackmere")
    assert str(answer) == "Blackmere Shipping Limited is Blackmere Shipping Ltd on the watch list (C02)"


@pytest.mark.parametrize("vendor", ["brightwater", "quillmark", "ferrowood", "saltmarsh"])
def test_a_vendor_without_a_number_reserves_releases_and_never_twice(vendor: str, context: StandInContext) -> None:
    order = order_for(context, vendor).model_copy(update={"rehearsed_failures": 0})
    assert collect(context, vendor).vendor_number is None
    number = reserve(context, order)
    assert reserve(context, order) == number
    assert collect(context, vendor).vendor_number == number.vendor_number
    assert release(context, order, number.model_dump()).result == "released"
    assert release(context, order, number.model_dump()).result == "already_released"
    assert collect(context, vendor).vendor_number is None
    with pytest.raises(Permanent, match="was released"):
        reserve(context, order)


def test_releasing_tolerates_that_nothing_was_reserved(context: StandInContext) -> None:
    order = order_for(context, "ferrowood")
    assert release(context, order, None) == ReleasedNumber(result="never_reserved", vendor_number=None)


def test_the_flaky_register_fails_twice_and_then_succeeds(context: StandInContext) -> None:
    order = order_for(context, "quillmark")
    for _ in range(2):
        with pytest.raises(Transient, match="busy"):
            reserve(context, order)
    assert reserve(context, order).vendor_number == "V-100001"


def test_the_register_lives_beside_the_data_unless_named(context: StandInContext, tmp_path: Path) -> None:
    assert collect(context, DEFAULT_VENDOR).register_file == str(tmp_path / "vendor_register.sqlite")
    named = collect(context, DEFAULT_VENDOR, register_file=str(tmp_path / "other.sqlite"))
    assert named.register_file == str(tmp_path / "other.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_paths_are_made_absolute_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert register_path("r.sqlite", None) == tmp_path / "r.sqlite"
    assert register_path(None, None) == tmp_path / "vendor_register.sqlite"
    assert vendor_folder("papers") == tmp_path / "papers"
    assert vendor_folder("northwind") == SHIPPED_VENDORS / "northwind"
    (tmp_path / "northwind").mkdir()
    assert vendor_folder("northwind") == SHIPPED_VENDORS / "northwind"
    (tmp_path / "northwind" / "vendor.json").touch()
    assert vendor_folder("northwind") == tmp_path / "northwind"
    assert vendor_folder("../northwind") == tmp_path / "../northwind"


def test_today_is_read_where_no_day_is_given(context: StandInContext) -> None:
    assert collect(context, DEFAULT_VENDOR, None).papers.reviewed_on >= date(2024, 1, 1)


def test_a_folder_that_cannot_be_used_is_permanent(context: StandInContext, tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="name a folder with --input vendor_dir=PATH"):
        collect(context, str(tmp_path / "nowhere"))
    folder = write_folder(tmp_path / "vendor")
    (folder / "register.json").write_text("{", encoding="utf-8")
    with pytest.raises(Permanent, match=r"register\.json: Invalid JSON"):
        collect(context, str(folder))


def test_a_register_that_cannot_be_used_is_permanent(context: StandInContext, tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"not a database " * 100)
    with pytest.raises(Permanent, match="the register cannot be used"):
        collect(context, "brightwater", register_file=str(tmp_path / "broken"))
    order = ReserveOrder(vendor_key="a", legal_name="A", register_file=str(tmp_path / "broken"))
    with pytest.raises(Permanent):
        reserve(context, order)
    with pytest.raises(Permanent):
        release(context, order, None)


def test_the_request_names_what_is_outstanding_and_why(context: StandInContext) -> None:
    order = RequestOrder(papers=collect(context, "saltmarsh").papers, answer_within_days=14)
    letter = cast("PapersRequest", activities.papers_request(order))
    assert letter.papers == ("insurance",)
    assert "- insurance: it expired on 2001-12-31" in letter.text
    assert "within 14 days" in letter.text


def test_no_output_shows_as_anything_but_ok_save_the_decision(context: StandInContext) -> None:
    assert "outcome" not in Collected.model_fields
    assert "outcome" not in RiskReport.model_fields
    assert "outcome" in Decision.model_fields


def decided(context: StandInContext, controls: tuple[str, ...]) -> Decision:
    answer = screened(context, DEFAULT_VENDOR)
    assert isinstance(answer, NeedsApproval)
    order = DecisionOrder(
        papers=collect(context, DEFAULT_VENDOR).papers,
        risk=RiskReport.model_validate(answer.output),
        approval=Approval(decision="approved", decided_by=("ann",), controls=controls),
        vendor_number="V-104417",
    )
    return cast("Decision", activities.final_decision(order))


@pytest.mark.parametrize(("controls", "outcome"), [(("two signatures",), "approved_with_controls"), ((), "approved")])
def test_the_artifact_says_what_was_decided_and_on_what(
    controls: tuple[str, ...], outcome: str, context: StandInContext
) -> None:
    decision = decided(context, controls)
    final = Finalization(
        workflow_id="wf_001",
        goal="vendor onboarding review",
        input={},
        outputs={"final_decision": decision.model_dump(mode="json")},
        approvals={},
        controls=list(controls),
    )
    for _ in range(2):
        written = cast("ArtifactRef", activities.write_decision(final, cast("Context", context)))
        assert written.name == "onboarding_decision.json"
    (data,) = context.written.values()
    document = json.loads(data)
    assert (document["decision"], document["workflow"]) == (outcome, "wf_001")
    assert (document["controls"], document["approvers"]) == (list(controls), ["ann"])
    assert document["reasons"]
    digests = {paper["paper"]: paper["sha256"] for paper in document["papers"]}
    assert set(digests) == {"registration", "tax_form", "insurance", "questionnaire", "bank"}
    assert all(len(digest) == 64 for digest in digests.values())


def test_no_artifact_without_a_decision(context: StandInContext) -> None:
    final = Finalization(workflow_id="wf_001", goal="g", input={}, outputs={}, approvals={}, controls=[])
    with pytest.raises(Permanent, match="final_decision has no output"):
        activities.write_decision(final, cast("Context", context))


def test_what_nobody_screened_is_denied(context: StandInContext) -> None:
    answer = activities.final_decision(DecisionOrder(papers=collect(context, "brightwater").papers))
    assert isinstance(answer, Denied)
    assert str(answer) == "the vendor was not screened"


def test_the_planner_goes_by_the_shipped_policy() -> None:
    proposal = activities.plan_review(PlanRequest(goal="vendor onboarding review"))
    assert [step.id for step in proposal.steps] == ["docs_collect"]


def test_account_holders_can_be_cut_out_of_the_record() -> None:
    declared = vendor_onboarding_review.activities
    assert declared["docs_collect"].redactable_output == ("/papers/bank_holder",)
    for name in ("policy_screen", "papers_request", "final_decision"):
        assert declared[name].redactable_input == ("/papers/bank_holder",)


@pytest.mark.parametrize("vendor", VENDORS)
def test_no_output_holds_an_account_number(vendor: str, context: StandInContext) -> None:
    iban = json.loads((SHIPPED_VENDORS / vendor / "bank.json").read_text(encoding="utf-8"))["iban"]
    assert iban not in collect(context, vendor).model_dump_json()


def test_every_effect_can_be_undone() -> None:
    effects = {one.name: one for one in vendor_onboarding_review.activities.values() if one.effect != "pure"}
    assert effects["reserve_vendor_number"].compensation == "release_vendor_number"
    assert set(effects) == {"reserve_vendor_number", "release_vendor_number", "write_decision"}
