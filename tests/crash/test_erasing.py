"""`handrail erase` is killed at every passage of every fault point, and killed again when it is run once more.

Files go first, then one transaction destroys the key, then the database's log file is emptied: whatever of it was done,
the next run does the rest, and what is left in between is a workflow or an erased one, never a damaged one.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.artifacts import WORKFLOWS_FOLDER
from deploy.keyring import new_ring
from deploy.loading import LoadedDefinitions
from deploy.opened import open_store
from deploy.settings import Settings
from domain.errors import PayloadWithheld
from domain.store.application import WorkflowStore
from projections.keeper import Keeper
from projections.log import LogReader
from projections.projector import catch_up
from projections.rebuilding import Rebuild
from tests.crash.outside import Outside
from tests.crash.processes import KILLED, Hit, Place
from tests.crash.report import KILLS
from tests.crash.starting import Nursery
from tests.integration.command_line import RECIPES

NOW = datetime(2024, 6, 1, tzinfo=UTC)
WORD = "Wolpertinger"
ERASED = ("wf_001", "wf_002")
"""Their artifacts have the same content, which is kept once: it goes with the last of them."""
ERASE = ("erase", *ERASED, "--by", "ann", "--reason", "asked for", "--yes", "--json")

Record = Callable[[str, object], None]


class Encrypted(Place):
    """A home with a key ring beside it."""

    ring: Path

    def environment(self, armed: Hit | None = None) -> Mapping[str, str]:
        return {**super().environment(armed), "HANDRAIL_ENCRYPTION_KEYS": str(self.ring)}

    def copy(self, name: str) -> "Encrypted":
        """The same home, elsewhere."""
        home = self.home.with_name(name)
        shutil.copytree(self.home, home, copy_function=linked())
        made = Encrypted(home, self.outside, self.starter, modules=self.modules)
        made.ring = self.ring
        return made

    @contextmanager
    def opened(self) -> Iterator[WorkflowStore]:
        """The store of the home."""
        store = open_store(self.home, LoadedDefinitions(), settings=Settings(encryption_keys=self.ring))
        try:
            yield store
        finally:
            store.close()

    def standing(self) -> dict[str, bool]:
        """Of each workflow whether it is erased; one that is neither that nor whole raises."""
        found = {}
        with self.opened() as store:
            for name in store.workflow_ids():
                try:
                    found[name] = store.load(name).ended is None
                except PayloadWithheld:
                    found[name] = True
        return found

    def keys(self) -> dict[str, str]:
        """The workflows' keys, as their rows hold them."""
        with self.opened() as store:
            return dict(store.query("SELECT workflow_id, wrapped FROM workflow_keys"))

    def holding(self, text: str) -> list[str]:
        """The files of the home that hold a text."""
        files = [path for path in self.home.rglob("*") if path.is_file()]
        return [str(path.relative_to(self.home)) for path in files if text.encode() in path.read_bytes()]

    def artifacts(self) -> dict[str, int]:
        """The files of artifacts, each with the number of its names."""
        folders = (self.home / "artifacts", self.home / WORKFLOWS_FOLDER)
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.home)): path.stat().st_nlink for path in files}


def linked() -> Callable[[str, str], object]:
    """Copies files so that those which were one are one again: the contents of artifacts have several names."""
    copies: dict[int, str] = {}

    def copy(one: str, other: str) -> object:
        inode = Path(one).stat().st_ino
        if inode in copies:
            Path(other).hardlink_to(copies[inode])
        else:
            copies[inode] = other
            shutil.copy2(one, other)
        return other

    return copy


@pytest.fixture
def whole(worlds: Callable[[], Outside], nursery: Nursery, tmp_path: Path) -> Encrypted:
    """A home with two workflows to be erased, and one that stays."""
    place = Encrypted(tmp_path / "whole", worlds(), nursery, modules=RECIPES)
    place.ring = tmp_path / "ring.json"
    new_ring(place.ring)
    for name in (*ERASED, "wf_other"):
        definition = "greet" if name in ERASED else "spoken"
        ended = place.run("run", "--goal", f"{definition} {WORD} {name}", "--definition", definition, "--id", name)
        assert ended.code == 0, ended
    return place


def finished(place: Encrypted, keys: Mapping[str, str], before: Mapping[str, int]) -> None:
    """Run it to its end, and look at what is left."""
    ended = place.run(*ERASE)
    assert ended.code == 0, ended
    assert place.standing() == {"wf_001": True, "wf_002": True, "wf_other": False}
    for name in ERASED:
        assert place.holding(keys[name]) == []
    assert place.holding("wf_other"), "it would be found"
    assert place.artifacts() == before
    assert place.run("replay", "--all").code == 0
    with place.opened() as store:
        log = LogReader(store.recorder, store.mapper.read)
        catch_up(Keeper(store), log)
        assert Rebuild(store, log).run(mend=False, now=NOW).total == 0


@pytest.mark.timeout(300)
def test_killed_anywhere_and_killed_again_it_is_finished_by_the_next(whole: Encrypted, record_property: Record) -> None:
    keys = whole.keys()
    assert all(whole.holding(keys[name]) for name in ERASED)
    undisturbed = whole.copy("undisturbed")
    passed = undisturbed.run(*ERASE)
    assert passed.code == 0, passed
    left = undisturbed.artifacts()
    assert len(left) < len(whole.artifacts())
    assert not [name for name in left if any(one in name for one in ERASED)]
    finished(undisturbed, keys, left)
    hits = passed.hits(every=True)
    assert {"artifact.before", "artifact.after", "commit.before", "commit.after"} <= {hit.point for hit in hits}
    kills = 0
    for hit in hits:
        place = whole.copy(f"killed-{hit.point}-{hit.number}")
        killed = place.run(*ERASE, armed=hit)
        assert killed.code == KILLED, killed
        place.standing()
        again = place.run(*ERASE, armed=Hit(hit.point))
        kills += 1 + (again.code == KILLED)
        place.standing()
        finished(place, keys, left)
    assert kills > len(hits), "none was killed twice"
    record_property(KILLS, kills)
