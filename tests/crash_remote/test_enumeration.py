"""A serving process is killed at every named fault point, on PostgreSQL and RabbitMQ, and another one goes on.

`make test` kills once at each point, at a passage that chance chooses; `make crash` (HANDRAIL_CRASH=every) at every
passage of an undisturbed run. The points around the schema are those of `handrail migrate`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domain.faultpoints import NAMES
from tests.chaos.stage import Stage, staged_on
from tests.crash.processes import KILLED, Hit
from tests.crash.report import KILLS, SEEDS
from tests.crash.starting import Nursery
from tests.crash_remote.lives import Case, Cases, Station, compare
from tests.servers.postgres import OwnCluster
from tests.servers.rabbitmq import OwnBroker

EVERY = os.environ.get("HANDRAIL_CRASH") == "every"
SEED = int(os.environ.get("HANDRAIL_CRASH_SEED", "20240229"))

AFTER_A_CRASH = ("sweep.before", "sweep.after")
"""Passed only by a process that finds the claims of one that was killed."""
SETTING_UP = ("schema.before", "schema.after")
SERVING = [name for name in NAMES if name not in {*AFTER_A_CRASH, *SETTING_UP}]
FIRST_DEATH = Hit("effect.before")

Record = Callable[[str, object], None]
slow = pytest.mark.timeout(7_200 if EVERY else 300)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    running = Nursery()
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def stage(
    own_rabbitmq_node: OwnBroker, own_postgres_cluster: OwnCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    own_rabbitmq_node.ensure()
    own_postgres_cluster.ensure()
    with staged_on(own_rabbitmq_node, own_postgres_cluster, tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.fixture(scope="module")
def cases(stage: Stage, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Cases:
    return Cases(stage, tmp_path_factory.mktemp("cases"), nursery)


@pytest.fixture(scope="module")
def known() -> dict[str, Case]:
    """What undisturbed runs gave, so that each is made once."""
    return {}


async def undisturbed(cases: Cases, known: dict[str, Case]) -> Case:
    if "undisturbed" not in known:
        known["undisturbed"] = await cases.run()
        assert known["undisturbed"].wrong == []
    return known["undisturbed"]


@slow
@pytest.mark.parametrize("point", SERVING)
async def test_killed_at_a_point_another_goes_on(
    point: str, cases: Cases, known: dict[str, Case], record_property: Record
) -> None:
    whole = await undisturbed(cases, known)
    passed = whole.ended[-1].passed.get(point, 0)
    assert passed, f"{point} is out of reach: {whole.ended[-1].passed}"
    numbers = range(1, passed + 1) if EVERY else (random.Random(f"{SEED} {point}").randint(1, passed),)
    findings, kills = [], 0
    for number in numbers:
        case = await cases.run(Hit(point, number))
        if not case.kills:
            # How often a point is passed depends on what comes together in one turn; the first time always comes.
            case = await cases.run(Hit(point))
        kills += case.kills
        if wrong := compare(case, whole):
            findings.append("\n".join([f"killed at {point}:{number}", *wrong, *map(str, case.ended)]))
        if not case.kills:
            findings.append(f"{point}: never fired")
    record_property(KILLS, kills)
    record_property(SEEDS, SEED)
    assert not findings, "\n\n".join(findings)


@slow
@pytest.mark.parametrize("point", AFTER_A_CRASH)
async def test_killed_again_while_the_claims_of_the_killed_are_lapsed(
    point: str, cases: Cases, known: dict[str, Case], record_property: Record
) -> None:
    whole = await undisturbed(cases, known)
    case = await cases.run(FIRST_DEATH, Hit(point))
    record_property(KILLS, case.kills)
    assert compare(case, whole) == [], [str(one) for one in case.ended]
    assert case.kills == 2, [str(one) for one in case.ended]


@pytest.mark.parametrize("point", SETTING_UP)
def test_killed_while_it_migrates_it_migrates_again(
    point: str, stage: Stage, nursery: Nursery, tmp_path: Path, record_property: Record
) -> None:
    database = stage.cluster.new_database()
    try:
        station = Station(tmp_path / "migrating", stage, nursery, {"HANDRAIL_STORE": database.url})
        killed = station.run("migrate", armed=Hit(point))
        assert killed.code == KILLED, killed
        again = station.run("migrate")
        assert again.code == 0, again
        assert station.run("migrate").code == 0
    finally:
        stage.cluster.drop(database)
    record_property(KILLS, 1)


def test_no_point_is_left_out() -> None:
    assert {*SERVING, *AFTER_A_CRASH, *SETTING_UP} == set(NAMES)
