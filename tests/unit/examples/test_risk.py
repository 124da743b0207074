"""The points against a vendor: each finding by itself, from the papers that cause it and from no others."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.examples.vendor_onboarding.policy import ReviewPolicy, shipped_policy
from deploy.examples.vendor_onboarding.risk import RiskReport, assess, subjects_of
from deploy.examples.vendor_onboarding.screening import Hit
from tests.unit.examples.folders import IBAN, REVIEWED_ON, collected

POLICY = shipped_policy()
GERMAN_IBAN = "DE89370400440532013000"


def report(folder: Path, *hits: Hit, policy: ReviewPolicy = POLICY, **changes: dict[str, Any]) -> RiskReport:
    return assess(collected(folder, changes), hits, policy, "list/1")


def found(risk: RiskReport) -> dict[str, int]:
    assert risk.points == sum(finding.points for finding in risk.findings)
    return {finding.code: finding.points for finding in risk.findings}


def test_a_clean_vendor_has_no_points_and_needs_nobody(tmp_path: Path) -> None:
    risk = report(tmp_path)
    assert (risk.points, risk.findings, risk.needs_person, risk.certain_hit) == (0, (), False, None)
    assert (risk.policy, risk.watch_list) == ("vendor-risk/1", "list/1")


@pytest.mark.parametrize(
    ("country", "code"), [("GB", None), ("BR", "country_medium"), ("XA", "country_high"), ("XB", "country_high")]
)
def test_the_country_counts_by_its_tier(country: str, code: str | None, tmp_path: Path) -> None:
    codes = found(report(tmp_path, vendor={"country": country}))
    codes.pop("bank_abroad", None)
    assert list(codes) == ([code] if code else [])


@pytest.mark.parametrize(
    ("cover", "spend", "points"),
    [(500_000, 250_000, 0), (499_999, 250_000, 1), (0, 100_000, 30), (250_000, 100_000, 15), (500_000, 500_000, 15)],
)
def test_insurance_counts_by_what_is_short(cover: int, spend: int, points: int, tmp_path: Path) -> None:
    risk = report(
        tmp_path,
        insurance={"cover": {"amount": cover, "currency": "EUR"}},
        vendor={"spend_per_year": {"amount": spend, "currency": "EUR"}},
    )
    assert found(risk) == ({"insurance_short": points} if points else {})


@pytest.mark.parametrize(("days", "soon"), [(29, True), (30, False)])
def test_insurance_that_ends_soon_counts(days: int, soon: bool, tmp_path: Path) -> None:
    expires = (REVIEWED_ON + timedelta(days=days)).isoformat()
    assert ("insurance_ends_soon" in found(report(tmp_path, insurance={"expires": expires}))) == soon


def test_money_is_compared_in_the_policys_currency(tmp_path: Path) -> None:
    dollars = {"cover": {"amount": 500_000, "currency": "USD"}}
    assert found(report(tmp_path, insurance=dollars)) == {"insurance_short": 3}
    unknown = {"cover": {"amount": 500_000, "currency": "XYZ"}}
    assert found(report(tmp_path, insurance=unknown)) == {"currency_unknown": POLICY.points.currency_unknown}


@pytest.mark.parametrize("question", POLICY.questionnaire)
@pytest.mark.parametrize("answered", [True, False])
def test_each_question_not_affirmed_counts(question: str, answered: bool, tmp_path: Path) -> None:
    answers = dict.fromkeys(POLICY.questionnaire, True)
    if answered:
        answers[question] = False
    else:
        del answers[question]
    codes = found(report(tmp_path, questionnaire={"answers": answers}))
    assert codes == {f"questionnaire_{question}": POLICY.questionnaire[question]}


def test_an_account_abroad_or_of_somebody_else_counts(tmp_path: Path) -> None:
    assert list(found(report(tmp_path, bank={"iban": GERMAN_IBAN}))) == ["bank_abroad"]
    assert list(found(report(tmp_path, bank={"holder": "Anna Lindqvarn"}))) == ["payee_other"]
    assert found(report(tmp_path, bank={"holder": "OAKLINE JOINERY LIMITED", "iban": IBAN})) == {}


def test_a_large_spend_counts(tmp_path: Path) -> None:
    cover = {"cover": {"amount": 9_000_000, "currency": "EUR"}}
    for amount, codes in ((999_999, []), (1_000_000, ["spend_large"])):
        spend = {"spend_per_year": {"amount": amount, "currency": "EUR"}}
        assert list(found(report(tmp_path, vendor=spend, insurance=cover))) == codes


def test_a_hit_counts_and_asks_for_a_person(tmp_path: Path) -> None:
    hit = Hit(name="A", entry="P01", listed_as="B", score=0.91, certain=False)
    risk = report(tmp_path, hit)
    assert found(risk) == {"match_possible": POLICY.points.match_possible}
    assert risk.needs_person
    assert risk.certain_hit is None


def test_the_first_certain_hit_is_named(tmp_path: Path) -> None:
    hits = [Hit(name=n, entry=n, listed_as=n, score=1.0, certain=n != "a") for n in "abc"]
    certain = report(tmp_path, *hits).certain_hit
    assert certain is not None
    assert certain.entry == "b"


@pytest.mark.parametrize(("limit", "needed"), [(5, True), (6, False)])
def test_a_person_decides_from_the_limit_on(limit: int, needed: bool, tmp_path: Path) -> None:
    answers = dict.fromkeys(POLICY.questionnaire, True) | {"trains_staff": False}
    policy = POLICY.model_copy(update={"review_from_points": limit})
    assert report(tmp_path, policy=policy, questionnaire={"answers": answers}).needs_person == needed


def test_everybody_is_looked_for_once(tmp_path: Path) -> None:
    papers = collected(tmp_path, {"vendor": {"trading_names": ["Oakline", "Oakline Joinery Ltd"]}})
    assert [(subject.name, subject.kind) for subject in subjects_of(papers)] == [
        ("Oakline Joinery Ltd", "company"),
        ("Oakline", "company"),
        ("Thomas Bergholtz", "person"),
    ]


def test_a_payee_who_is_somebody_else_is_looked_for_as_both(tmp_path: Path) -> None:
    papers = collected(tmp_path, {"bank": {"holder": "Dmitri Valkorenko"}})
    assert [(subject.kind, subject.country) for subject in subjects_of(papers)[-2:]] == [
        ("company", "GB"),
        ("person", "GB"),
    ]
