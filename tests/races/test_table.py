"""The table of races names what there is: each guard once in its file, each test in its module."""

import re
from dataclasses import replace

import pytest

from tests.races import run
from tests.races.guards import GUARDS, Guard
from tests.races.run import ROOT, misplaced


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.race.replace(" ", "-"))
def test_the_guard_and_its_test_are_there(guard: Guard) -> None:
    assert not misplaced(guard, ROOT)
    module, *_, name = guard.test.split("::")
    text = (ROOT / module).read_text(encoding="utf-8")
    # The contracts run the tests of another module on further stores.
    for place in re.findall(r"^from (tests\.[\w.]+) import", text, re.MULTILINE):
        text += (ROOT / f"{place.replace('.', '/')}.py").read_text(encoding="utf-8")
    assert f"def {name}" in text


@pytest.mark.parametrize("there", ["nobody ever wrote this", "return"], ids=["nowhere", "in many places"])
def test_a_guard_that_is_not_where_the_table_says_is_said_and_nothing_is_run(
    there: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = replace(GUARDS[0], race="a race whose guard has moved", there=there, test="tests/races/nothing_to_run.py")
    monkeypatch.setattr(run, "GUARDS", (moved,))
    assert run.main([]) == 1
    said = capsys.readouterr()
    assert "a race whose guard has moved: its guard is in domain/store/deciding.py" in said.err
    assert said.out == ""
