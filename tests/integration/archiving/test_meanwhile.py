"""An archive between any two queries of whoever reads a store: what is gone is no damage, and nothing is lost."""

import contextlib
import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.loading import LoadedDefinitions
from deploy.opened import SCHEMA, open_store
from domain.errors import WorkflowArchived
from domain.ports import Cursor
from domain.store.application import WorkflowStore
from domain.store.opening import open_postgres_store
from projections.exporting import reading
from projections.exporting.against import HeldAgainst, heads_in
from projections.exporting.jsonl import JsonLines
from projections.exporting.reading import Histories, Selection
from projections.exporting.redaction import Redaction
from projections.exporting.verifying import Verification
from projections.replaying.checking import CheckingAll
from tests.integration.archiving.stage import Archive, everything, histories, names_in, sealed, stock
from tests.integration.archiving.test_worlds import Both
from tests.integration.exports.stock import exported
from tests.integration.exports.test_stores import workflows_in
from tests.servers.postgres import Cluster, Database

WORKFLOWS = 10
PAGE = 4
PIECE = 15
ALL = Selection()
EACH_ON_POSTGRES = 5
"""A copy takes a second there, so it is not before each query that the archive runs."""

Opening = Callable[[], contextlib.AbstractContextManager[tuple[WorkflowStore, WorkflowStore]]]


class World:
    """A store that is not archived yet, the file that an archive of it wrote, and copies of it."""

    def __init__(self, copy: Opening, store: WorkflowStore, file: Path, each: int = 1) -> None:
        stock(store, histories(WORKFLOWS, 1))
        Archive(store, file).write()
        self.copy = copy
        self.each = each
        self.file = file
        self.names = set(everything(store))
        self.going = set(names_in(file))
        self.seal = sealed(store)
        self.export = exported(store)

    def at_every_query(self, read: Callable[["Between"], None]) -> int:
        """Read copies of the store, one for each query that this takes, and archive just before that; how many."""
        for place in itertools.count(step=self.each):
            with self.copy() as (store, other):
                between = Between(store, place, Archive(other, self.file).remove)
                read(between)
                if between.asked <= place:
                    return place
        raise AssertionError


class Between:
    """A store's queries, before one of which something else happens."""

    def __init__(self, store: WorkflowStore, place: int, act: Callable[[], object]) -> None:
        self.store = store
        self.asked = 0
        self._place = place
        self._act = act

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self._next()
        return self.store.query(statement, parameters)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Cursor]:
        with self.store.reading() as cursor:
            yield _Viewing(cursor, self._next)

    def _next(self) -> None:
        if self.asked == self._place:
            self._act()
        self.asked += 1


class _Viewing:
    """A cursor before whose queries something else may happen."""

    def __init__(self, cursor: Cursor, ask: Callable[[], None]) -> None:
        self._cursor = cursor
        self._ask = ask
        self.execute = cursor.execute
        self.executemany = cursor.executemany
        self.now = cursor.now

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self._ask()
        return self._cursor.query(statement, parameters)


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    file = tmp_path / "old.jsonl"
    if request.param == "sqlite":
        with contextlib.closing(open_store(tmp_path / "first", LoadedDefinitions())) as store:
            made = World(lambda: _copied_home(tmp_path), store, file)
        yield made
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    first = cluster.new_database()
    with contextlib.closing(_opened(first.url)) as store:
        made = World(lambda: _copied_database(first), store, file, EACH_ON_POSTGRES)
    yield made
    cluster.drop(first)


@contextlib.contextmanager
def _copied_home(folder: Path) -> Iterator[tuple[WorkflowStore, WorkflowStore]]:
    home = folder / "copy"
    shutil.copytree(folder / "first", home)
    with _twice(lambda: open_store(home, LoadedDefinitions())) as stores:
        yield stores
    shutil.rmtree(home)


@contextlib.contextmanager
def _copied_database(first: Database) -> Iterator[tuple[WorkflowStore, WorkflowStore]]:
    database = first.cluster.new_database(first.name)
    try:
        with _twice(lambda: _opened(database.url)) as stores:
            yield stores
    finally:
        first.cluster.drop(database)


def _opened(url: str) -> WorkflowStore:
    return open_postgres_store(url, definitions=LoadedDefinitions(), schema=SCHEMA, create=True)


@contextlib.contextmanager
def _twice(opened: Callable[[], WorkflowStore]) -> Iterator[tuple[WorkflowStore, WorkflowStore]]:
    with contextlib.closing(opened()) as store, contextlib.closing(opened()) as other:
        yield store, other


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of few workflows, and pieces of long ones, so that an archive comes between two of them, too."""
    monkeypatch.setattr(reading, "WORKFLOWS_A_PAGE", PAGE)
    monkeypatch.setattr(reading, "_MARKS", ", ".join("?" * PAGE))
    monkeypatch.setattr(reading, "EVENTS_A_READ", PIECE)


def lines_of(between: Between, selection: Selection = ALL, *, seal: bool = False) -> bytes:
    made = JsonLines(selection, Redaction(()), seal=seal)
    content = b"".join(made.lines(Histories(between, between.store.mapper.clear, selection)))
    assert made.first_damage is None
    return content


def test_an_export_has_all_that_stays_and_nothing_in_part(world: World) -> None:
    found = set[int]()

    def read(between: Between) -> None:
        content = lines_of(between)
        assert Verification().run(content.splitlines(keepends=True)).findings == ()
        names = workflows_in(content)
        assert world.names - world.going <= set(names) <= world.names
        assert len(names) == len(set(names))
        found.add(len(names))

    assert world.at_every_query(read) > WORKFLOWS // PAGE
    assert {len(world.names), len(world.names - world.going)} < found, "never in the middle"


def test_a_seal_is_the_same_whenever_they_go(world: World) -> None:
    def read(between: Between) -> None:
        assert lines_of(between, seal=True) == world.seal

    assert world.at_every_query(read) > WORKFLOWS // PAGE


@pytest.mark.parametrize("whole", [True, False])
def test_the_store_held_against_its_heads_is_sound(world: World, *, whole: bool) -> None:
    """With heads of all, and with none of those that go, which are read as later ones then."""
    heads = world.seal.splitlines(keepends=True)
    if not whole:
        heads = [line for line in heads if not any(f'"{name}"'.encode() in line for name in world.going)]

    def read(between: Between) -> None:
        held, clear = HeldAgainst(), between.store.mapper.clear
        held.hold(between, clear, heads_in(heads))
        held.hold_others(between, clear)
        assert held.findings == []
        assert held.workflows == len(world.names if whole else world.names - world.going)
        assert held.archived in ({0, len(world.going)} if whole else {0})

    assert world.at_every_query(read) > WORKFLOWS // PAGE


def test_those_that_were_named_are_called_archived(world: World) -> None:
    names = tuple(sorted(world.names))
    refused = set[int]()

    def read(between: Between) -> None:
        try:
            content = lines_of(between, Selection(names))
        except WorkflowArchived:
            refused.add(between.asked)
        else:
            assert workflows_in(content) == workflows_in(world.export)

    world.at_every_query(read)
    assert len(refused) > 1


def test_replaying_all_finds_nothing(world: World) -> None:
    def read(between: Between) -> None:
        check = CheckingAll(between.reading, between.store.mapper.read, Both())
        checked = {one.workflow: one.word for one in check.run(lambda _name: True)}
        assert world.names - world.going <= checked.keys() <= world.names
        assert set(checked.values()) == {"agrees"}

    assert world.at_every_query(read) > 1
