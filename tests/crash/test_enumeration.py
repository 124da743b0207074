"""The real process is killed at every named fault point, one by one, for every kind of workflow, and started again.

`make test` kills at the first passage of each point within each command; `make crash` (HANDRAIL_CRASH=every) at every
passage, and a second time at the first passage of each point while the restart recovers. After each kill a person goes
on until the workflow has ended; then everything must be as if nobody had been killed: see `checks.py`.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.drill import Drill
from tests.crash.outside import Outside
from tests.crash.person import Person
from tests.crash.report import KILLS, SEEDS

EVERY = os.environ.get("HANDRAIL_CRASH") == "every"
SEED = int(os.environ.get("HANDRAIL_CRASH_SEED", "20240229"))
LIVES = 5
"""How often one workflow is killed at most, one life after the other."""
RUNS = 25 if EVERY else 2
"""How many times that is tried for each workflow."""

STATUSES = {
    "happy": "completed",
    "blocked": "completed",
    "retrying": "completed",
    "compensating": "compensated",
    "once probed": "completed",
    "once unprobed": "completed",
    "once lost": "completed",
    "family": "compensated",
    "signalled": "completed",
}

MakeDrill = Callable[[str], Drill]
Record = Callable[[str, object], None]

workflows = pytest.mark.parametrize("name", STATUSES)
slow = pytest.mark.timeout(3_600 if EVERY else 240)
only_every = pytest.mark.skipif(not EVERY, reason="make crash does it: HANDRAIL_CRASH=every")


@pytest.fixture
def make_drill(worlds: Callable[[], Outside], tmp_path: Path) -> MakeDrill:
    def make(name: str) -> Drill:
        return Drill(Person(name.replace(" ", "_"), f"crash {name}", signals=name == "signalled"), worlds(), tmp_path)

    return make


@slow
@workflows
def test_killed_at_every_point(name: str, make_drill: MakeDrill, record_property: Record) -> None:
    drill = make_drill(name)
    stages, undisturbed = drill.watch()
    assert undisturbed.statuses[drill.person.workflow] == STATUSES[name]
    assert not undisturbed.wrong
    for stage in stages:
        drill.kill_at(stage, stage.ended.hits(every=EVERY), undisturbed)
    record_property(KILLS, drill.kills)
    assert not drill.findings, "\n\n".join(drill.findings)
    assert drill.kills == sum(len(stage.ended.hits(every=EVERY)) for stage in stages)


@slow
@workflows
def test_killed_in_the_middle_of_every_call(name: str, make_drill: MakeDrill, record_property: Record) -> None:
    drill = make_drill(name)
    stages, undisturbed = drill.watch()
    for stage in stages:
        drill.kill_in_calls(stage, ("before", "after") if EVERY else ("after",), undisturbed)
    record_property(KILLS, drill.kills)
    assert not drill.findings, "\n\n".join(drill.findings)
    assert drill.kills


@slow
@workflows
@only_every
def test_killed_again_while_it_recovers(name: str, make_drill: MakeDrill, record_property: Record) -> None:
    drill = make_drill(name)
    stages, undisturbed = drill.watch()
    for stage in stages:
        for hit in stage.ended.hits(every=False):
            drill.kill_twice(stage, hit, undisturbed)
    record_property(KILLS, drill.kills)
    assert not drill.findings, "\n\n".join(drill.findings)


@slow
@workflows
def test_killed_life_after_life_wherever_chance_has_it(
    name: str, make_drill: MakeDrill, record_property: Record
) -> None:
    drill = make_drill(name)
    stages, undisturbed = drill.watch()
    everywhere = [hit for stage in stages for hit in stage.ended.hits(every=True)]
    chance = random.Random(f"{SEED} {name}")
    for _ in range(RUNS):
        drill.kill_often([chance.choice(everywhere) for _ in range(LIVES)], undisturbed)
    record_property(KILLS, drill.kills)
    record_property(SEEDS, SEED)
    assert not drill.findings, f"HANDRAIL_CRASH_SEED={SEED}\n" + "\n\n".join(drill.findings)
