"""The CSV: cells that no spreadsheet computes, and one line for each row."""

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain import events as e
from domain.chain import GENESIS
from domain.recorded import record, stamp, to_state
from projections.exporting.rows import Row
from projections.exporting.table import COLUMNS, _Status, guarded


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\xa0=1",
        "\u2028=1",
        "\u3000=1",
        "\uff1d1",
        "\uff20x",
    ],
)
def test_what_a_spreadsheet_would_compute_begins_with_an_apostrophe(text: str) -> None:
    assert guarded(text).startswith("'")
    assert guarded(text)[1:].strip() != ""


@pytest.mark.parametrize("text", ["", "ada", "1", "{}", "a=b", "wf_001/s/run/1", "'quoted", "Zoë"])
def test_anything_else_stays_as_it_is(text: str) -> None:
    assert guarded(text) == text


def test_controls_become_spaces() -> None:
    assert guarded("a\x00b\nc\x1bd\x7f") == "a b c d "
    assert guarded("a\x80b\x85c\x9fd\u2028e\u2029") == "a b c d e "


def test_behind_an_event_that_nothing_comes_before_no_status_is_told() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    one = record(e.StepSkipped(step="none", reason="made up"), stamp("wf_001", at, "c", "ann", 1), 1, GENESIS)
    assert _Status("wf_001").after(Row("wf_001", 1, one.name, to_state(one))) == ""


def test_the_columns_are_those_of_the_document() -> None:
    document = (Path(__file__).parents[4] / "deploy/docs/exports.md").read_text()
    table = document[document.index("| column |") :].split("\n\n")[0].splitlines()[2:]
    assert [row.split("|")[1].strip().strip("`") for row in table] == list(COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert next(csv.reader([",".join(COLUMNS)])) == list(COLUMNS)
