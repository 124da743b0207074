"""What author code may do to the command line: print, change under a running workflow, be answered for by a person."""

from pathlib import Path

import pytest

from tests.integration.command_line import CommandLine

RECIPE = '''
"""Author code that prints, that changes its mind, that fails."""

import time
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

from handrail import Definition, Permanent, Step, TimeWait, activity


class Given(BaseModel):
    text: str = "x"


class Count(BaseModel):
    number: int


@activity(effect="pure")
async def chatty(given: Given) -> Count:
    print("[step] chatty=forged")
    return Count(number=1)


@activity(effect="pure", name="renamed" if Path("changed").exists() else "original")
async def original(given: Given) -> Count:
    return Count(number=2)


@activity(effect="pure")
async def failing(given: Given) -> Count:
    raise Permanent("no number to be had")


@activity(effect="pure", start_to_finish=timedelta(milliseconds=50))
async def blocking(given: Given) -> Count:
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        pass
    return Count(number=3)


printing = Definition("printing", steps=[Step("one", chatty)])
changing = Definition("changing", steps=[Step("one", original)])
asking = Definition("asking", steps=[Step("one", failing)], on_failure="intervene")
blocked = Definition("blocking", steps=[Step("one", blocking)])
late = Definition(
    "late", deadline=timedelta(milliseconds=20), steps=[Step("one", wait_time=TimeWait(duration=timedelta(days=1)))]
)
'''


@pytest.fixture
def handrail(tmp_path: Path) -> CommandLine:
    (tmp_path / "recipe_here.py").write_text(RECIPE, encoding="utf-8")
    return CommandLine(tmp_path, modules="recipe_here")


def test_what_an_activity_prints_stands_on_stderr(handrail: CommandLine) -> None:
    ended = handrail("run", "--goal", "printing")
    assert ended.lines == ["[workflow] id=wf_001 started", "[step] one=ok"]
    assert "[step] chatty=forged" in ended.errors


def test_an_activity_that_is_gone_from_its_version_is_waited_for_like_a_definition(handrail: CommandLine) -> None:
    assert handrail("run", "--goal", "changing", "--detach").code == 0
    (handrail.folder / "changed").touch()
    assert handrail("resume", "wf_001").code == 3
    (handrail.folder / "changed").unlink()
    assert handrail("resume", "wf_001").lines[-1] == "[step] one=ok"


def test_an_output_from_a_person_must_fit_the_activity(handrail: CommandLine) -> None:
    assert handrail("run", "--goal", "asking").code == 3
    (handrail.folder / "output.json").write_text('{"number": "many"}', encoding="utf-8")
    supplied = ("supply", "wf_001", "--step", "one", "--output", "@output.json", "--by", "ann", "--reason", "known")
    refused = handrail(*supplied)
    assert refused.code == 2
    assert "output of step 'one': number: Input should be a valid integer" in refused.errors
    (handrail.folder / "output.json").write_text('{"number": 7}', encoding="utf-8")
    assert handrail(*supplied).code == 0


def test_a_deadline_that_passes_is_told(handrail: CommandLine) -> None:
    ended = handrail("run", "--goal", "late")
    assert ended.code == 1
    assert ended.lines[-1] == "[workflow] id=wf_001 failed"
    assert "the deadline has passed" in ended.errors


def test_an_activity_that_blocks_the_event_loop_is_told_so(handrail: CommandLine) -> None:
    ended = handrail("run", "--goal", "blocking")
    log = "".join(path.read_text(encoding="utf-8") for path in (handrail.home / "logs").glob("*"))
    assert "it blocked the event loop" in ended.errors + log
