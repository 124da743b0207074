"""What is looked at before a review is accepted: a folder that cannot be read is refused, not begun and failed."""

from datetime import UTC, datetime

from pydantic import field_validator

from deploy.examples.vendor_onboarding.documents import collect_papers
from deploy.examples.vendor_onboarding.inputs import VendorInput, vendor_folder


class AcceptedVendorInput(VendorInput):
    """The input of a review as it is accepted: its folder can be read, and no document in it is malformed.

    Missing and expired papers are the review's business. What changes between acceptance and collection is found by
    `docs_collect`, and fails the step.
    """

    @field_validator("vendor_dir", mode="after")
    @classmethod
    def _is_readable(cls, vendor_dir: str) -> str:
        collect_papers(vendor_folder(vendor_dir), reviewed_on=datetime.now(tz=UTC).date())
        return vendor_dir
