"""The decision: the word for each ground, and no approval without one."""

from pathlib import Path

import pytest

from deploy.examples.vendor_onboarding.decision import Approval, UndecidedError, decide
from deploy.examples.vendor_onboarding.documents import CollectedPapers
from deploy.examples.vendor_onboarding.policy import shipped_policy
from deploy.examples.vendor_onboarding.risk import RiskReport, assess
from deploy.examples.vendor_onboarding.screening import Hit
from tests.unit.examples.folders import collected

GRANT = Approval(decision="approved", decided_by=("ann",), reason="known to us")


@pytest.fixture
def papers(tmp_path: Path) -> CollectedPapers:
    return collected(tmp_path)


def risk_of(papers: CollectedPapers, *hits: Hit) -> RiskReport:
    return assess(papers, hits, shipped_policy(), "list/1")


def risky(papers: CollectedPapers) -> RiskReport:
    return risk_of(papers, Hit(name="A", entry="P01", listed_as="B", score=0.91, certain=False))


def test_a_clean_vendor_is_approved_by_nobody_in_particular(papers: CollectedPapers) -> None:
    decision = decide(papers, risk_of(papers), None, "V-1")
    assert (decision.outcome, decision.approvers, decision.controls) == ("approved", (), ())
    assert (decision.vendor_number, decision.vendor_key, decision.risk_points) == ("V-1", "oakline", 0)
    assert decision.papers == papers.papers


def test_a_grant_without_controls_approves(papers: CollectedPapers) -> None:
    decision = decide(papers, risky(papers), GRANT, "V-1")
    assert (decision.outcome, decision.approvers) == ("approved", ("ann",))
    assert decision.reasons[-1] == "approved by ann: known to us"


def test_a_grant_with_a_control_approves_with_controls(papers: CollectedPapers) -> None:
    decision = decide(papers, risky(papers), GRANT.model_copy(update={"controls": ("two signatures",)}), "V-1")
    assert (decision.outcome, decision.controls) == ("approved_with_controls", ("two signatures",))


def test_outstanding_papers_decline_with_each_reason(tmp_path: Path) -> None:
    papers = collected(tmp_path, {"insurance": {"expires": "2001-12-31"}, "registration": {"number": "X"}})
    decision = decide(papers, None, None, None)
    assert decision.outcome == "declined"
    assert [reason.split(":")[0] for reason in decision.reasons] == ["registration is unfit", "insurance is expired"]


def test_outstanding_papers_decline_even_what_was_granted(tmp_path: Path) -> None:
    papers = collected(tmp_path, {"insurance": {"expires": "2001-12-31"}})
    assert decide(papers, risk_of(papers), GRANT, "V-1").outcome == "declined"


def test_what_nobody_screened_is_not_decided(papers: CollectedPapers) -> None:
    with pytest.raises(UndecidedError, match="not screened"):
        decide(papers, None, GRANT, "V-1")


def test_what_needs_a_person_is_not_decided_without(papers: CollectedPapers) -> None:
    with pytest.raises(UndecidedError, match="40 points need a person's approval"):
        decide(papers, risky(papers), None, "V-1")


def test_a_hit_needs_a_person_whatever_its_points(papers: CollectedPapers) -> None:
    risk = risky(papers).model_copy(update={"points": 0})
    with pytest.raises(UndecidedError, match="nobody gave it"):
        decide(papers, risk, None, "V-1")


@pytest.mark.parametrize("word", ["rejected", "expired", "", "approve"])
def test_any_word_but_a_grant_is_none(word: str, papers: CollectedPapers) -> None:
    for risk in (risky(papers), risk_of(papers)):
        with pytest.raises(UndecidedError):
            decide(papers, risk, Approval(decision=word, decided_by=("ann",)), "V-1")
