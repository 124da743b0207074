"""How risky a vendor is: the papers and the hits of the screening, counted in the policy's points.

Pure: the same papers, hits and policy give the same report. What to do about the points is the activity's to say.
"""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict

from deploy.examples.vendor_onboarding.documents import CollectedPapers
from deploy.examples.vendor_onboarding.names import Kind, comparable
from deploy.examples.vendor_onboarding.papers import Money
from deploy.examples.vendor_onboarding.policy import ReviewPolicy
from deploy.examples.vendor_onboarding.screening import Hit, Subject, similarity

_KINDS: tuple[Kind, ...] = ("company", "person")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Frozen):
    """One thing that speaks against the vendor, in words and points."""

    code: str
    points: int
    text: str


class RiskReport(_Frozen):
    """What the screening found. `policy` and `watch_list` say which versions it went by."""

    points: int
    review_from_points: int
    findings: tuple[Finding, ...]
    hits: tuple[Hit, ...]
    policy: str
    watch_list: str

    @property
    def needs_person(self) -> bool:
        """Return whether a person must decide."""
        return self.points >= self.review_from_points

    @property
    def certain_hit(self) -> Hit | None:
        """Return the first hit that leaves no doubt, if there is one."""
        return next((hit for hit in self.hits if hit.certain), None)


def subjects_of(papers: CollectedPapers) -> tuple[Subject, ...]:
    """Return everybody to look for: the vendor by each of its names, its owners, and whoever else is paid.

    Whether a payee who is neither vendor nor owner is a person or a company is not known: it is looked for as both.
    """
    vendor = papers.vendor
    own_names = dict.fromkeys((vendor.legal_name, *vendor.trading_names))
    subjects = [Subject(name, "company", vendor.country, vendor.registration_number) for name in own_names]
    subjects.extend(Subject(owner.name, "person", owner.country) for owner in vendor.owners)
    known = {subject.name for subject in subjects}
    if papers.bank_holder and papers.bank_holder not in known:
        country = papers.bank.country if papers.bank else None
        subjects.extend(Subject(papers.bank_holder, kind, country) for kind in _KINDS)
    return tuple(subjects)


def assess(papers: CollectedPapers, hits: tuple[Hit, ...], policy: ReviewPolicy, watch_list: str) -> RiskReport:
    """Count the points against a vendor. `watch_list` is the list's name and version, for the record."""
    findings = (
        *_country(papers, policy),
        *_matches(hits, policy),
        *_insurance(papers, policy),
        *_questionnaire(papers, policy),
        *_money(papers, policy),
    )
    return RiskReport(
        points=sum(finding.points for finding in findings),
        review_from_points=policy.review_from_points,
        findings=findings,
        hits=hits,
        policy=policy.quoted,
        watch_list=watch_list,
    )


def _country(papers: CollectedPapers, policy: ReviewPolicy) -> list[Finding]:
    country = papers.vendor.country
    if country in policy.countries.low:
        return []
    if country in policy.countries.high:
        return [Finding(code="country_high", points=policy.points.country_high, text=f"{country} is of high risk")]
    return [Finding(code="country_medium", points=policy.points.country_medium, text=f"{country} is of medium risk")]


def _matches(hits: tuple[Hit, ...], policy: ReviewPolicy) -> list[Finding]:
    return [
        Finding(
            code="match_possible",
            points=policy.points.match_possible,
            text=f"{hit.name} is like {hit.listed_as} on the watch list ({hit.entry}, {hit.score:.3f})",
        )
        for hit in hits
    ]


def _insurance(papers: CollectedPapers, policy: ReviewPolicy) -> list[Finding]:
    required = policy.insurance_minimum
    spend = _in_policy_currency(papers.vendor.spend_per_year, policy)
    if spend is not None:
        required = max(required, round(spend * policy.insurance_per_spend))
    insured = _in_policy_currency(papers.insurance.cover, policy) if papers.insurance else 0
    findings = []
    # Cover in an unknown currency is a finding of its own, see _money.
    if insured is not None and insured < required:
        # Rounded up: a shortfall is never worth nothing.
        points = -(-policy.points.insurance_short * (required - insured) // required)
        findings.append(
            Finding(
                code="insurance_short",
                points=points,
                text=f"insured for {policy.currency} {insured:,} where {policy.currency} {required:,} are required",
            )
        )
    soon = papers.reviewed_on + timedelta(days=policy.insurance_ends_soon_days)
    if papers.insurance and papers.insurance.expires < soon:
        findings.append(
            Finding(
                code="insurance_ends_soon",
                points=policy.points.insurance_ends_soon,
                text=f"the insurance ends on {papers.insurance.expires.isoformat()}",
            )
        )
    return findings


def _questionnaire(papers: CollectedPapers, policy: ReviewPolicy) -> list[Finding]:
    return [
        Finding(code=f"questionnaire_{question}", points=points, text=f"the questionnaire does not affirm {question}")
        for question, points in policy.questionnaire.items()
        if not papers.questionnaire.get(question, False)
    ]


def _money(papers: CollectedPapers, policy: ReviewPolicy) -> list[Finding]:
    findings = []
    amounts = [papers.vendor.spend_per_year, *([papers.insurance.cover] if papers.insurance else [])]
    for currency in dict.fromkeys(amount.currency for amount in amounts):
        if currency not in policy.rates:
            text = f"the policy has no rate for {currency}"
            findings.append(Finding(code="currency_unknown", points=policy.points.currency_unknown, text=text))
    if papers.bank_holder and not _is_vendor(papers.bank_holder, papers, policy):
        text = "the account is held by another than the vendor"
        findings.append(Finding(code="payee_other", points=policy.points.payee_other, text=text))
    if papers.bank and papers.bank.country != papers.vendor.country:
        text = f"paid in {papers.bank.country}, registered in {papers.vendor.country}"
        findings.append(Finding(code="bank_abroad", points=policy.points.bank_abroad, text=text))
    spend = _in_policy_currency(papers.vendor.spend_per_year, policy)
    if spend is not None and spend >= policy.spend_large_from:
        text = f"{policy.currency} {spend:,} a year"
        findings.append(Finding(code="spend_large", points=policy.points.spend_large, text=text))
    return findings


def _is_vendor(holder: str, papers: CollectedPapers, policy: ReviewPolicy) -> bool:
    held_by = comparable(holder, "company")
    names = (papers.vendor.legal_name, *papers.vendor.trading_names)
    return any(similarity(held_by, comparable(name, "company")) >= policy.match_possible_from for name in names)


def _in_policy_currency(money: Money, policy: ReviewPolicy) -> int | None:
    rate = policy.rates.get(money.currency)
    return None if rate is None else round(money.amount * rate)
