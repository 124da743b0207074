"""A vendor's folder: what is found in order, what is asked for again, and what is refused with a line that helps."""

import hashlib
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.examples.vendor_onboarding import folder as folder_module
from deploy.examples.vendor_onboarding.documents import PaperCheck, collect_papers, rehearsed_failures
from deploy.examples.vendor_onboarding.folder import FILES_MAXIMUM, PAPER_SIZE_MAXIMUM_BYTES, DocumentError
from deploy.examples.vendor_onboarding.papers import REQUIRED_PAPERS
from tests.unit.examples.folders import IBAN, REVIEWED_ON, SCAN, collected, valid_papers, write_folder


def check_of(folder: Path, paper: str, changes: dict[str, Any]) -> PaperCheck:
    papers = collected(folder, {paper: changes})
    (found,) = [check for check in papers.papers if check.paper == paper]
    assert papers.outstanding == (() if found.state == "ok" else (paper,))
    return found


def refusal(folder: Path, **expected: str) -> str:
    with pytest.raises(DocumentError) as refused:
        collect_papers(folder, reviewed_on=REVIEWED_ON, expected_vendor=expected.get("vendor"))
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_a_complete_folder_is_in_order_with_every_digest(tmp_path: Path) -> None:
    papers = collected(tmp_path)
    assert papers.outstanding == ()
    assert [check.paper for check in papers.papers] == list(REQUIRED_PAPERS)
    for check in papers.papers:
        data = (tmp_path / f"{check.paper}.json").read_bytes()
        assert check.sha256 == hashlib.sha256(data).hexdigest()
    (scanned,) = {(check.scan, check.scan_size_bytes) for check in papers.papers if check.scan}
    assert scanned == ("scan.png", len(SCAN))


@pytest.mark.parametrize(("days", "state"), [(-1, "expired"), (0, "ok"), (1, "ok")])
def test_a_paper_is_valid_through_its_day_of_expiry(days: int, state: str, tmp_path: Path) -> None:
    expires = (REVIEWED_ON + timedelta(days=days)).isoformat()
    check = check_of(tmp_path, "tax_form", {"expires": expires})
    assert check.state == state
    assert (expires in check.note) == (state == "expired")


@pytest.mark.parametrize("name", REQUIRED_PAPERS)
def test_each_missing_paper_is_outstanding(name: str, tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / f"{name}.json").unlink()
    papers = collect_papers(tmp_path, reviewed_on=REVIEWED_ON)
    assert papers.outstanding == (name,)
    assert {check.state for check in papers.papers if check.paper == name} == {"missing"}


def test_a_scan_that_is_not_the_one_stated_is_unfit(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "scan.png").write_bytes(SCAN + b"!")
    papers = collect_papers(tmp_path, reviewed_on=REVIEWED_ON)
    assert papers.outstanding == ("registration", "tax_form", "insurance")
    assert {check.state for check in papers.papers if check.scan} == {"unfit"}


def test_a_scan_that_is_not_there_is_missing(tmp_path: Path) -> None:
    check = check_of(tmp_path, "insurance", {"scan": {"file": "gone.png", "sha256": "0" * 64}})
    assert (check.state, check.scan_sha256) == ("missing", None)
    assert "gone.png" in check.note


def test_a_registration_of_another_number_is_unfit(tmp_path: Path) -> None:
    check = check_of(tmp_path, "registration", {"number": "GB-0000001"})
    assert check.state == "unfit"
    assert "GB-0000001" in check.note


def test_the_account_number_never_leaves(tmp_path: Path) -> None:
    papers = collected(tmp_path)
    text = papers.model_dump_json() + repr(papers)
    assert IBAN.replace(" ", "") not in text
    assert IBAN not in text
    assert papers.bank is not None
    assert (papers.bank.last_four, papers.bank.country) == ("5432", "GB")
    assert papers.bank_holder == "Oakline Joinery Ltd"


def test_a_wrong_account_number_is_refused_without_being_repeated(tmp_path: Path) -> None:
    papers = valid_papers()
    papers["bank"]["iban"] = "GB83WEST12345698765432"
    message = refusal(write_folder(tmp_path, papers))
    assert "bank.json: iban: not an IBAN: its check digits do not fit; correct the file" in message
    assert "WEST" not in message


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ('{"expires": "2031-01-31"}', "tax_number: Field required"),
        ('{"tax_number": "1", "country": "GB", "expires": "soon"}', "expires: "),
        ('{"tax_number": "1", "country": "England", "expires": "2031-01-31"}', "country: "),
        ("\x00\xff", "Invalid JSON"),
    ],
)
def test_a_malformed_paper_is_named_with_the_fault_and_the_way_out(text: str, place: str, tmp_path: Path) -> None:
    (write_folder(tmp_path) / "tax_form.json").write_text(text, encoding="utf-8")
    message = refusal(tmp_path)
    assert message.startswith(f"{tmp_path / 'tax_form.json'}: ")
    assert place in message
    assert message.endswith("correct the file and try again")


def test_a_misspelt_field_is_refused(tmp_path: Path) -> None:
    papers = valid_papers()
    papers["tax_form"]["expiry"] = papers["tax_form"].pop("expires")
    assert "tax_form.json: expires: Field required" in refusal(write_folder(tmp_path, papers))
    papers["tax_form"]["expires"] = "2031-01-31"
    assert "tax_form.json: expiry: Extra inputs" in refusal(write_folder(tmp_path, papers))


@pytest.mark.parametrize(
    "name",
    ["../outside.png", "/etc/hostname", "sub/scan.png", "..", ".", "", ".hidden", "a\x00b", "a\\..\\b", "x" * 101],
)
def test_a_scan_name_cannot_point_out_of_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(SCAN)
    papers = valid_papers()
    papers["insurance"]["scan"] = papers["insurance"]["scan"] | {"file": name}
    assert "insurance.json: scan.file: " in refusal(write_folder(tmp_path / "vendor", papers))


@pytest.mark.parametrize("name", ["scan.png", "insurance.json", "vendor.json"])
def test_a_symbolic_link_is_not_followed(name: str, tmp_path: Path) -> None:
    vendor = write_folder(tmp_path / "vendor")
    (vendor / name).rename(tmp_path / name)
    (vendor / name).symlink_to(tmp_path / name)
    assert refusal(vendor) == f"{vendor / name}: a symbolic link; put the file itself into the folder"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_plain_file_is_refused_and_does_not_hang(make: Any, tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "scan.png").unlink()
    make(tmp_path / "scan.png")
    assert "scan.png: not a plain file" in refusal(tmp_path)


def test_a_paper_has_a_largest_size(tmp_path: Path) -> None:
    path = write_folder(tmp_path) / "bank.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.ljust(PAPER_SIZE_MAXIMUM_BYTES), encoding="utf-8")
    assert collect_papers(tmp_path, reviewed_on=REVIEWED_ON).outstanding == ()
    path.write_text(text.ljust(PAPER_SIZE_MAXIMUM_BYTES + 1), encoding="utf-8")
    assert f"bank.json: larger than {PAPER_SIZE_MAXIMUM_BYTES} bytes" in refusal(tmp_path)


def test_a_scan_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path)
    monkeypatch.setattr(folder_module, "SCAN_SIZE_MAXIMUM_BYTES", len(SCAN))
    assert collect_papers(tmp_path, reviewed_on=REVIEWED_ON).outstanding == ()
    monkeypatch.setattr(folder_module, "SCAN_SIZE_MAXIMUM_BYTES", len(SCAN) - 1)
    assert "scan.png: larger than" in refusal(tmp_path)


def test_a_folder_has_a_largest_number_of_files(tmp_path: Path) -> None:
    write_folder(tmp_path)
    for number in range(FILES_MAXIMUM - len(list(tmp_path.iterdir()))):
        (tmp_path / f"extra{number}.txt").touch()
    assert collect_papers(tmp_path, reviewed_on=REVIEWED_ON).outstanding == ()
    (tmp_path / "one_more.txt").touch()
    assert f"more than {FILES_MAXIMUM} files" in refusal(tmp_path)


def test_an_unreadable_folder_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, reason in ((tmp_path / "nowhere", "No such file"), (tmp_path / "file", "Not a directory")):
        message = refusal(path)
        assert message.startswith(f"{path}: the vendor's folder cannot be read ({reason}")
        assert message.endswith("--input vendor_dir=PATH")
    assert "not a path" in refusal(Path("a\x00b"))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    assert "holds no vendor.json" in refusal(tmp_path)


def test_another_vendors_papers_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path)
    assert collect_papers(tmp_path, reviewed_on=REVIEWED_ON, expected_vendor="oakline").vendor.vendor_key == "oakline"
    assert "papers of oakline, not of saltmarsh" in refusal(tmp_path, vendor="saltmarsh")


def test_reading_leaves_no_descriptor_open_and_writes_nothing(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "bank.json").write_text("{", encoding="utf-8")
    before = sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.iterdir())
    opened = len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        refusal(tmp_path)
    assert len(list(Path("/dev/fd").iterdir())) == opened
    assert sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.iterdir()) == before


def test_the_rehearsed_failures_are_read_and_bounded(tmp_path: Path) -> None:
    write_folder(tmp_path)
    assert rehearsed_failures(tmp_path) == 0
    (tmp_path / "register.json").write_text(json.dumps({"fail_times": 2}), encoding="utf-8")
    assert rehearsed_failures(tmp_path) == 2
    (tmp_path / "register.json").write_text(json.dumps({"fail_times": 101}), encoding="utf-8")
    with pytest.raises(DocumentError, match=r"register\.json: fail_times"):
        rehearsed_failures(tmp_path)
