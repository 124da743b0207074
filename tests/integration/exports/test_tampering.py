"""A thousand changes by chance are found where they were planted, by both verifiers; `make tampering`: 10,000."""

import pytest

from domain.store.application import WorkflowStore
from tests.integration.exports.stock import exported
from tests.integration.exports.tampering import (
    CHANGES,
    CHECK,
    RULES,
    SIGNER,
    planted_at,
    tampered_with,
    verdicts,
)


@pytest.fixture
def signed(stocked: WorkflowStore) -> bytes:
    return exported(stocked, rules=RULES, signer=SIGNER)


def test_the_export_holds_every_kind_of_line(signed: bytes) -> None:
    for mark in (b'"salts":{"/', b"$redacted", b'"withheld":true', b'"signature":', b'"last":'):
        assert mark in signed, mark
    assert verdicts(signed) == [("sound", []), ("sound", [])]


def test_700_changes_of_a_signed_export_are_found_where_they_are(signed: bytes) -> None:
    assert tampered_with(signed, range(700)) == []


def test_300_changes_of_one_without_signature_are_found_where_they_are(stocked: WorkflowStore) -> None:
    content = exported(stocked)
    assert verdicts(content, None) == [("none", []), ("none", [])]
    assert tampered_with(content, range(700, 1_000), check=None) == []


def test_the_check_of_the_changes_sees_one_that_is_found_elsewhere(signed: bytes) -> None:
    lines = signed.splitlines(keepends=True)
    assert {change.__name__ for change in CHANGES} == {
        "flip_bit", "change_field", "delete", "insert", "reorder", "swap", "truncate"
    }  # fmt: skip
    assert planted_at(signed, b"".join([*lines[:4], *lines[5:]])) == 5
    assert planted_at(signed, signed[:-1]) == len(lines)
    # An insertion of a sound line between sound lines is none that could be hidden: both must name its line.
    assert [one[1][0][0] for one in verdicts(b"".join([*lines[:7], lines[4], *lines[7:]]), CHECK)] == [8, 8]
