"""A vendor's papers, collected and checked: there, unchanged, still valid.

Reads the folder, writes nothing. A paper that is missing, expired or unfit (its scan is not the one it states, its
number is another's) is a *finding*, for which the vendor can be asked; a file that cannot be understood is an error.
Account numbers do not leave this module: the last four characters and a digest do.
"""

import hashlib
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict

from deploy.examples.vendor_onboarding.folder import DocumentError, FileDigest, VendorFolder, open_folder
from deploy.examples.vendor_onboarding.papers import (
    REQUIRED_PAPERS,
    AnyPaper,
    BankDetails,
    Insurance,
    Money,
    Questionnaire,
    RegisterRehearsal,
    Registration,
    VendorProfile,
)
from handrail import Redactable

PaperState = Literal["ok", "expired", "missing", "unfit"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PaperCheck(_Frozen):
    """What was found of one paper. Digests are SHA-256 of the files' bytes; `note` says what is wrong, if anything."""

    paper: str
    state: PaperState
    note: str = ""
    expires: date | None = None
    sha256: str | None = None
    scan: str | None = None
    scan_sha256: str | None = None
    scan_size_bytes: int | None = None


class InsuranceCover(_Frozen):
    """How much the vendor is insured for, and until when."""

    cover: Money
    expires: date


class BankSummary(_Frozen):
    """Enough of the account to recognise it, not to use it."""

    country: str
    last_four: str
    iban_sha256: str


class CollectedPapers(_Frozen):
    """What a vendor's folder held on the day of the review."""

    folder: str
    reviewed_on: date
    vendor: VendorProfile
    papers: tuple[PaperCheck, ...]
    outstanding: tuple[str, ...]
    insurance: InsuranceCover | None = None
    questionnaire: dict[str, bool] = {}
    bank_holder: Annotated[str, Redactable()] = ""
    bank: BankSummary | None = None


def collect_papers(path: Path, *, reviewed_on: date, expected_vendor: str | None = None) -> CollectedPapers:
    """Read and check a vendor's folder as of a day. Papers are valid through their day of expiry.

    Raises:
        DocumentError: the folder cannot be read, a document is malformed, or it is not `expected_vendor`'s.
    """
    with open_folder(path) as folder:
        profile = _profile(folder, path, expected_vendor)
        papers: dict[str, AnyPaper] = {}
        checks = []
        for name, model in REQUIRED_PAPERS.items():
            found = folder.read_paper(f"{name}.json", model)
            if found is None:
                checks.append(PaperCheck(paper=name, state="missing", note=f"{name}.json is not in the folder"))
                continue
            papers[name] = found[0]
            checks.append(_check(folder, name, found[0], found[1], profile, reviewed_on))
    return CollectedPapers(
        folder=str(path),
        reviewed_on=reviewed_on,
        vendor=profile,
        papers=tuple(checks),
        outstanding=tuple(check.paper for check in checks if check.state != "ok"),
        insurance=_cover(papers.get("insurance")),
        questionnaire=_answers(papers.get("questionnaire")),
        bank_holder=_holder(papers.get("bank")),
        bank=_bank_summary(papers.get("bank")),
    )


def rehearsed_failures(path: Path) -> int:
    """Return how often the folder wants the stand-in register to fail first (`register.json`, optional).

    Raises:
        DocumentError: the folder cannot be read or the file is malformed.
    """
    with open_folder(path) as folder:
        found = folder.read_paper("register.json", RegisterRehearsal)
    return found[0].fail_times if found else 0


def _profile(folder: VendorFolder, path: Path, expected_vendor: str | None) -> VendorProfile:
    found = folder.read_paper("vendor.json", VendorProfile)
    if found is None:
        raise DocumentError(f"{path}: holds no vendor.json; name a vendor's folder with --input vendor_dir=PATH")
    profile = found[0]
    if expected_vendor is not None and profile.vendor_key != expected_vendor:
        raise DocumentError(
            f"{path}: holds the papers of {profile.vendor_key}, not of {expected_vendor}; name that vendor's folder"
        )
    return profile


def _check(
    folder: VendorFolder, name: str, paper: AnyPaper, digest: FileDigest, profile: VendorProfile, reviewed_on: date
) -> PaperCheck:
    scan = folder.digest_scan(paper.scan.file) if paper.scan else None
    state, note = _state(paper, scan, profile, reviewed_on)
    return PaperCheck(
        paper=name,
        state=state,
        note=note,
        expires=paper.expires,
        sha256=digest.sha256,
        scan=paper.scan.file if paper.scan else None,
        scan_sha256=scan.sha256 if scan else None,
        scan_size_bytes=scan.size_bytes if scan else None,
    )


def _state(
    paper: AnyPaper, scan: FileDigest | None, profile: VendorProfile, reviewed_on: date
) -> tuple[PaperState, str]:
    if paper.scan and scan is None:
        return "missing", f"its scan {paper.scan.file} is not in the folder"
    if paper.scan and scan and scan.sha256 != paper.scan.sha256:
        return "unfit", f"its scan {paper.scan.file} does not have the digest that the paper states"
    if isinstance(paper, Registration) and paper.number != profile.registration_number:
        return "unfit", f"it is for number {paper.number}, the vendor's is {profile.registration_number}"
    if paper.expires is not None and paper.expires < reviewed_on:
        return "expired", f"it expired on {paper.expires.isoformat()}"
    return "ok", ""


def _cover(paper: AnyPaper | None) -> InsuranceCover | None:
    return InsuranceCover(cover=paper.cover, expires=paper.expires) if isinstance(paper, Insurance) else None


def _answers(paper: AnyPaper | None) -> dict[str, bool]:
    return dict(paper.answers) if isinstance(paper, Questionnaire) else {}


def _holder(paper: AnyPaper | None) -> str:
    return paper.holder if isinstance(paper, BankDetails) else ""


def _bank_summary(paper: AnyPaper | None) -> BankSummary | None:
    if not isinstance(paper, BankDetails):
        return None
    return BankSummary(
        country=paper.country,
        last_four=paper.iban[-4:],
        iban_sha256=hashlib.sha256(paper.iban.encode()).hexdigest(),
    )
