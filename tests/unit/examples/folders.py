"""Vendor folders for tests: a complete and valid one, which each test then spoils in one place."""

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

from deploy.examples.vendor_onboarding.documents import CollectedPapers, collect_papers
from deploy.examples.vendor_onboarding.policy import shipped_policy

REVIEWED_ON = date(2030, 6, 15)
SCAN = b"\x89PNG\r\n\x1a\n\x00\xff a scan of any bytes"
# The registry's own example of an IBAN, with check digits that fit.
IBAN = "GB82 WEST 1234 5698 7654 32"


def valid_papers() -> dict[str, dict[str, Any]]:
    scan = {"file": "scan.png", "sha256": hashlib.sha256(SCAN).hexdigest()}
    return {
        "vendor": {
            "vendor_key": "oakline",
            "legal_name": "Oakline Joinery Ltd",
            "country": "GB",
            "registration_number": "GB-0012300",
            "owners": [{"name": "Thomas Bergholtz", "country": "GB"}],
            "spend_per_year": {"amount": 100_000, "currency": "EUR"},
        },
        "registration": {"number": "GB-0012300", "scan": scan},
        "tax_form": {"tax_number": "GB-12300-T", "country": "GB", "expires": "2031-01-31", "scan": scan},
        "insurance": {
            "insurer": "Invented Mutual",
            "cover": {"amount": 1_000_000, "currency": "EUR"},
            "expires": "2031-01-31",
            "scan": scan,
        },
        "questionnaire": {"answers": dict.fromkeys(shipped_policy().questionnaire, True)},
        "bank": {"holder": "Oakline Joinery Ltd", "iban": IBAN},
    }


def write_folder(folder: Path, papers: dict[str, dict[str, Any]] | None = None) -> Path:
    """Write the papers and the scan that they state; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, paper in (papers or valid_papers()).items():
        (folder / f"{name}.json").write_text(json.dumps(paper), encoding="utf-8")
    (folder / "scan.png").write_bytes(SCAN)
    return folder


def collected(folder: Path, changes: dict[str, dict[str, Any]] | None = None) -> CollectedPapers:
    """Collect a valid folder in which the named papers have these fields changed."""
    papers = valid_papers()
    for name, fields in (changes or {}).items():
        papers[name].update(fields)
    return collect_papers(write_folder(folder, papers), reviewed_on=REVIEWED_ON)
