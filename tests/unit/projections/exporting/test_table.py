"""The CSV: cells that no spreadsheet computes, and one line for each row."""

import csv
from pathlib import Path

import pytest

from projections.exporting.table import COLUMNS, guarded


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\xa0=1", "\uff1d1", "\uff20x"]
)
def test_what_a_spreadsheet_would_compute_begins_with_an_apostrophe(text: str) -> None:
    assert guarded(text).startswith("'")
    assert guarded(text)[1:].strip() != ""


@pytest.mark.parametrize("text", ["", "ada", "1", "{}", "a=b", "wf_001/s/run/1", "'quoted", "Zoë"])
def test_anything_else_stays_as_it_is(text: str) -> None:
    assert guarded(text) == text


def test_controls_become_spaces() -> None:
    assert guarded("a\x00b\nc\x1bd\x7f") == "a b c d "


def test_the_columns_are_those_of_the_document() -> None:
    document = (Path(__file__).parents[4] / "deploy/docs/exports.md").read_text()
    table = document[document.index("| column |") :].split("\n\n")[0].splitlines()[2:]
    assert [row.split("|")[1].strip().strip("`") for row in table] == list(COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert next(csv.reader([",".join(COLUMNS)])) == list(COLUMNS)
