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

from domain.faultpoints import NAMES
from domain.forking import fork_id
from tests.crash.drill import Drill
from tests.crash.outside import Outside
from tests.crash.person import CUT, Forker, Person
from tests.crash.processes import Hit
from tests.crash.report import KILLS, SEEDS
from tests.crash.starting import FromNothing, Nursery, Starter

EVERY = os.environ.get("HANDRAIL_CRASH") == "every"
SEED = int(os.environ.get("HANDRAIL_CRASH_SEED", "20240229"))
LIVES = 5
"""How often one workflow is killed at most, one life after the other."""
RUNS = 25 if EVERY else 5
"""How many times that is tried for each workflow."""

EXPECTED: dict[str, tuple[str, list[str], list[str]]] = {
    # status, the effects that are applied once each, and those that are undone, in that order
    "happy": ("completed", ["reserve", "notify", "book"], []),
    "blocked": ("completed", ["reserve", "book"], []),
    "rejected": ("compensated", ["reserve"], ["reserve"]),
    "cancelled": ("cancelled", ["reserve"], ["reserve"]),
    "stuck": ("completed", ["reserve", "book"], []),
    "retrying": ("completed", ["flaky", "book"], []),
    "compensating": ("compensated", ["first", "second", "third"], ["doomed", "third", "second", "first"]),
    "once probed": ("completed", ["charge", "tip", "reserve"], []),
    "once unprobed": ("completed", ["wire", "reserve"], []),
    "once lost": ("completed", ["wire", "reserve"], []),
    "family": ("compensated", ["child.reserve", "child.notify"], ["doomed", "child.notify", "child.reserve"]),
    "signalled": ("completed", ["reserve", "book"], []),
    "forked": ("completed", ["reserve", "book", "fork.reserve", "fork.book"], []),
}

FROM_NOTHING = "happy"
"""Where `make test` starts every command from nothing; elsewhere they are forked, see `nursery.py`."""

MakeDrill = Callable[..., Drill]
Record = Callable[[str, object], None]

workflows = pytest.mark.parametrize("name", EXPECTED)
slow = pytest.mark.timeout(3_600 if EVERY else 600)


@pytest.fixture
def make_drill(worlds: Callable[[], Outside], nursery: Nursery, tmp_path: Path) -> MakeDrill:
    def make(name: str, starter: Starter = nursery) -> Drill:
        return Drill(person_for(name), worlds(), tmp_path, starter)

    return make


def person_for(name: str) -> Person:
    """Who is behind a workflow: most approve what they are asked."""
    workflow, goal = name.replace(" ", "_"), f"crash {name}"
    if name == "rejected":
        return Person(workflow, goal, answer="reject")
    if name == "cancelled":
        return Person(workflow, goal, answer="cancel")
    if name == "forked":
        return Forker(workflow, goal)
    return Person(workflow, goal, signals=name == "signalled")


def key_of(person: Person, effect: str) -> str:
    """The key of a step's effect; `child.` stands before those of a child workflow, `fork.` before a fork's."""
    child, _, step = effect.rpartition(".")
    if child == "fork":
        return f"{fork_id(person.workflow, CUT, None, '')}/{step}/run"
    return f"{person.workflow}.{child}/{step}/run" if child else f"{person.workflow}/{step}/run"


@slow
@workflows
def test_killed_at_every_point(name: str, make_drill: MakeDrill, nursery: Nursery, record_property: Record) -> None:
    drill = make_drill(name, nursery if EVERY or name != FROM_NOTHING else FromNothing())
    stages, undisturbed = drill.watch()
    assert not undisturbed.wrong
    status, applied, undone = EXPECTED[name]
    assert undisturbed.statuses[drill.person.workflow] == status
    assert sorted(undisturbed.books.effects()) == sorted(key_of(drill.person, effect) for effect in applied)
    assert undisturbed.books.undone() == [key_of(drill.person, effect) for effect in undone]
    for stage in stages:
        drill.kill_at(stage, stage.ended.hits(every=EVERY), undisturbed)
    record_property(KILLS, drill.kills)
    assert not drill.findings, "\n\n".join(drill.findings)
    assert drill.kills >= sum(sum(stage.surely.values()) if EVERY else len(stage.surely) for stage in stages)


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


if EVERY:  # Too many lives for `make test`, where nothing is to be skipped: `make crash` has them.

    @slow
    @workflows
    def test_killed_again_while_it_recovers(name: str, make_drill: MakeDrill, record_property: Record) -> None:
        drill = make_drill(name)
        stages, undisturbed = drill.watch()
        for stage in stages:
            for hit in stage.ended.hits(every=False):
                drill.kill_twice(stage, hit, undisturbed)
        record_property(KILLS, drill.kills)
        assert not drill.findings, "\n\n".join(drill.findings)


@slow
def test_every_named_point_is_among_those_where_it_is_killed(make_drill: MakeDrill, record_property: Record) -> None:
    """One workflow with its recovery comes by all of them: no point is out of reach."""
    drill = make_drill("once probed")
    (begun,), undisturbed = drill.watch()
    drill.kill_at(begun, begun.ended.hits(every=False), undisturbed)
    drill.kill_twice(begun, Hit("effect.after"), undisturbed)
    record_property(KILLS, drill.kills)
    assert not drill.findings, "\n\n".join(drill.findings)
    assert drill.points == set(NAMES)


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
