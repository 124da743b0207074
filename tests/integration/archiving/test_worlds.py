"""Random worlds, archived at random, several times over: everything agrees with everything at each moment."""

import random
from pathlib import Path

import pytest

from deploy.loading import LoadedDefinitions
from domain.definitions import Definition
from domain.store.application import WorkflowStore
from domain.store.tombstones import how_many, tombstones_of
from projections.exporting.against import HeldAgainst, heads_in
from projections.exporting.verifying import Verification
from projections.replaying.checking import CheckingAll
from tests.integration.archiving.stage import (
    BEGINNING,
    Archive,
    compared,
    everything,
    histories,
    left_of,
    names_in,
    sealed,
    stock,
    wanted,
)
from tests.unit.projections.histories import DEFINITIONS

WORLDS = 6


class Both(LoadedDefinitions):
    """The definitions that the histories are of."""

    def find(self, name: str, version: str) -> Definition | None:
        return DEFINITIONS.get(name)


@pytest.mark.parametrize("seed", range(WORLDS))
def test_a_world_archived_at_random_agrees(store: WorkflowStore, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    made = histories(60, seed + 10, decisions=chance.choice((20, 60)))
    seals: list[bytes] = []
    archived: set[str] = set()
    for number, begin in enumerate(range(0, 60, 20)):
        stock(store, made[begin : begin + 20])
        seals.append(sealed(store))
        ended = [at for (at,) in store.query("SELECT ended_at FROM workflows WHERE ended_at IS NOT NULL")]
        before = BEGINNING.fromisoformat(chance.choice(ended)) if ended else BEGINNING
        archive = Archive(
            store, tmp_path / f"{number}.jsonl", wanted(chance.choice((None, "fixed", "planned")), before)
        )
        archive.run()
        if archive.target.exists():
            lines = archive.target.read_bytes().splitlines(keepends=True)
            assert Verification().run(lines).sound
            gone = set(names_in(archive.target))
            assert gone.isdisjoint(archived)
            archived |= gone
        check(store, archived, {one[0].originator_id for one in made[: begin + 20]}, seals)
    assert archived, "nothing was archived in this world"


def check(store: WorkflowStore, archived: set[str], all_names: set[str], seals: list[bytes]) -> None:
    """The store, the views, the tombstones and everything that was ever sealed agree."""
    assert tombstones_of(store.query, sorted(all_names)).keys() == archived
    assert set(everything(store)) == all_names - archived
    assert how_many(store.query) == len(archived)
    if archived:
        assert left_of(store, sorted(archived)) == {}
    assert compared(store).shown == []
    for seal in seals:
        held = HeldAgainst()
        held.hold(store, store.mapper.clear, heads_in(seal.splitlines(keepends=True)))
        assert held.findings == []
    checked = list(CheckingAll(store.reading, store.mapper.read, Both()).run(lambda _name: True))
    assert {one.workflow for one in checked} == all_names - archived
    assert not [one for one in checked if one.word == "damaged"]
