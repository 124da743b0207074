"""The request for new papers, in words: what is outstanding, why, and how to answer."""

from pydantic import BaseModel, ConfigDict

from deploy.examples.vendor_onboarding.documents import CollectedPapers


class PapersRequest(BaseModel):
    """A letter to the vendor. `papers` are the outstanding ones, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: str
    papers: tuple[str, ...]
    answer_within_days: int
    text: str


def compose_request(papers: CollectedPapers, answer_within_days: int) -> PapersRequest:
    """Write the request for whatever is outstanding."""
    lines = [f"- {check.paper}: {check.note}" for check in papers.papers if check.state != "ok"]
    text = "\n".join(
        (
            f"To {papers.vendor.legal_name}",
            "",
            "We cannot go on with your onboarding until we have valid papers in place of these:",
            *lines,
            "",
            f"Please hand them in within {answer_within_days} days.",
        )
    )
    return PapersRequest(
        to=papers.vendor.legal_name,
        papers=papers.outstanding,
        answer_within_days=answer_within_days,
        text=text,
    )
