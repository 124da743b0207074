"""What the review goes by: money limits, risk points, thresholds and deadlines, as data (`policy.json`).

Nothing here decides; `risk` counts the points and `planner` keeps the deadlines. Points are whole numbers, money is in
whole units of `ReviewPolicy.currency`.
"""

from functools import lru_cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CountryTiers(_Frozen):
    """Two-letter country codes by risk; a country in neither tier is of medium risk."""

    low: frozenset[str]
    high: frozenset[str]


class RiskPoints(_Frozen):
    """How many points each finding adds; `insurance_short` is for no cover at all, less in proportion."""

    country_medium: int
    country_high: int
    match_possible: int
    insurance_short: int
    insurance_ends_soon: int
    currency_unknown: int
    bank_abroad: int
    payee_other: int
    spend_large: int


class ReviewPolicy(_Frozen):
    """The whole policy, with the name and version under which a decision quotes it."""

    name: str
    version: str
    currency: str
    rates: dict[str, float] = Field(description="what one unit of each currency is worth in `currency`")
    review_from_points: int = Field(description="from here on a person must decide")
    match_possible_from: float
    match_certain_from: float
    countries: CountryTiers
    points: RiskPoints
    insurance_minimum: int
    insurance_per_spend: float = Field(description="cover required for each unit of yearly spend")
    insurance_ends_soon_days: int
    spend_large_from: int
    questionnaire: dict[str, int] = Field(description="points for each question not answered with yes")
    papers_requests: int = Field(description="how often a vendor is asked for better papers")
    papers_within_days: int
    approval_within_days: int
    proposed_control: str = Field(description="the condition proposed to whoever approves")

    @property
    def quoted(self) -> str:
        """Return the policy as a decision names it: ``vendor-risk/1``."""
        return f"{self.name}/{self.version}"


@lru_cache(maxsize=1)
def shipped_policy() -> ReviewPolicy:
    """Return the policy beside this file."""
    return ReviewPolicy.model_validate_json(files(__package__).joinpath("policy.json").read_text(encoding="utf-8"))
