"""A review is not accepted with a folder that cannot be read: nothing is begun, and the message names the file."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from deploy.examples.vendor_onboarding.acceptance import AcceptedVendorInput
from tests.unit.examples.folders import write_folder


def test_a_readable_folder_and_a_shipped_name_are_accepted(tmp_path: Path) -> None:
    assert AcceptedVendorInput(vendor_dir=str(write_folder(tmp_path))).vendor_dir == str(tmp_path)
    assert AcceptedVendorInput().vendor_dir == "northwind"


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="the vendor's folder cannot be read"):
        AcceptedVendorInput(vendor_dir=str(tmp_path / "nowhere"))


def test_a_malformed_paper_is_refused_by_its_name(tmp_path: Path) -> None:
    (write_folder(tmp_path) / "tax_form.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValidationError, match=r"tax_form\.json: Invalid JSON.*correct the file and try again"):
        AcceptedVendorInput(vendor_dir=str(tmp_path))
