"""The table of races names what there is: each guard once in its file, each test in its module."""

import re

import pytest

from tests.races.guards import GUARDS, Guard
from tests.races.run import ROOT


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.race.replace(" ", "-"))
def test_the_guard_and_its_test_are_there(guard: Guard) -> None:
    assert (ROOT / guard.file).read_text(encoding="utf-8").count(guard.there) == 1
    module, *_, name = guard.test.split("::")
    text = (ROOT / module).read_text(encoding="utf-8")
    # The contracts run the tests of another module on further stores.
    for place in re.findall(r"^from (tests\.[\w.]+) import", text, re.MULTILINE):
        text += (ROOT / f"{place.replace('.', '/')}.py").read_text(encoding="utf-8")
    assert f"def {name}" in text
