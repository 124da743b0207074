"""Killed at every point of an archive, and begun again with the same file: it goes on and ends, with nothing lost."""

import signal
from pathlib import Path

import pytest

from deploy.archiving import removing
from domain.errors import StoreError, WorkflowArchived
from domain.faultpoints import arm
from domain.ports import Cursor
from domain.store.application import WorkflowStore
from domain.store.recorder import EVENTS
from domain.store.recorder_postgres import PostgresStoreRecorder
from domain.store.tombstones import tombstones_of
from tests.integration.archiving.stage import (
    Archive,
    at_home,
    compared,
    everything,
    histories,
    left_of,
    names_in,
    open_home,
    sealed,
    stock,
)
from tests.integration.command_line import CommandLine


class Killed(BaseException):
    """Stands for the end of the process."""


class KillAt:
    """Dies when a point is reached for the n-th time; `reached` counts."""

    def __init__(self, number: int) -> None:
        self.reached = 0
        self._number = number

    def __call__(self, name: str) -> None:
        self.reached += 1
        if self.reached == self._number:
            raise Killed(name)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "old.jsonl"


def check_whole(store: WorkflowStore, before: set[str], target: Path) -> None:
    """Every workflow is there with all that belongs to it, or gone with a tombstone, and in the file."""
    there = set(everything(store))
    gone = before - there
    stones = tombstones_of(store.query, sorted(before))
    assert stones.keys() == gone
    if gone:
        assert gone <= set(names_in(target))
        assert left_of(store, sorted(gone)) == {}
    for name in there:
        assert store.read(name, verified=True)
    assert store.query(f"SELECT count(*) FROM {EVENTS} WHERE originator_version = 1") == [(len(there),)]


def test_killed_at_every_point_it_goes_on(store: WorkflowStore, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one test, each time further on: what a killed one has removed stays removed."""
    monkeypatch.setattr("deploy.archiving.removing.AT_ONCE", 3)
    stock(store, histories(30, 1))
    before, seal = set(everything(store)), sealed(store)
    deaths = 0
    for number in range(1, 200):
        kill = KillAt(number)
        arm(kill)
        try:
            Archive(store, target).run()
        except Killed:
            deaths += 1
            arm(None)
            check_whole(store, before, target)
            assert sealed(store) == seal
            # Begin again from where the first one was: the next point may be in the same transaction.
            continue
        finally:
            arm(None)
        break
    assert deaths > 3
    assert compared(store).total == 0
    assert len(tombstones_of(store.query, sorted(before))) == len(names_in(target)) > 10


def test_a_late_outcome_and_an_archive_at_once(store: WorkflowStore, other: WorkflowStore, target: Path) -> None:
    """At every point of a removal somebody else adds to a workflow that goes: it stays whole, or nothing is added."""
    stock(store, histories(30, 1))
    archive = Archive(store, target)
    archive.write()
    name = names_in(target)[0]
    head = tombstones_of(store.query, [name])
    assert head == {}
    ((version, topic, state),) = store.query(
        f"SELECT originator_version, topic, state FROM {EVENTS} WHERE originator_id = ? "
        "ORDER BY originator_version DESC LIMIT 1",
        (name,),
    )
    tried: list[str] = []

    def add(point: str) -> None:
        if point.endswith(".after") and not tried:
            arm(None)
            try:
                with other.transaction() as cursor:
                    cursor.execute(
                        f"INSERT INTO {EVENTS} (originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?)",
                        (name, version + 1, topic, state),
                    )
                tried.append("added")
            except StoreError as error:
                tried.append(str(error))

    arm(add)
    archive.remove()
    assert "archived" in tried[0]
    assert left_of(store, [name]) == {}
    with pytest.raises(WorkflowArchived):
        other.load(name)


@pytest.mark.parametrize("opened", ["postgres"], indirect=True)  # whoever writes to a file has it alone
def test_who_adds_before_the_lock_is_taken_keeps_it_whole(
    store: WorkflowStore, other: WorkflowStore, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server others add to the log while the rows of a removal go; they are seen before it is committed."""
    recorder = store.recorder
    assert isinstance(recorder, PostgresStoreRecorder)
    stock(store, histories(30, 1))
    archive = Archive(store, target)
    archive.write()
    name = names_in(target)[0]
    ((version, topic, state),) = store.query(
        f"SELECT originator_version, topic, state FROM {EVENTS} WHERE originator_id = ? "
        "ORDER BY originator_version DESC LIMIT 1",
        (name,),
    )
    hold_up, added = recorder.hold_up_inserts, list[int]()

    def added_before(cursor: Cursor) -> None:
        if not added:
            with other.transaction() as another:
                statement = (
                    f"INSERT INTO {EVENTS} (originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?)"
                )
                added.append(another.execute(statement, (name, version + 1, topic, state)))
        hold_up(cursor)

    monkeypatch.setattr(recorder, "hold_up_inserts", added_before)
    removed = archive.remove()
    assert added == [1]
    assert removed.kept == {removing.CHANGED: 1}
    assert removed.workflows == len(names_in(target)) - 1
    assert left_of(store, [name])["stored_events"] == version + 1
    assert left_of(store, [name])["workflows"] == 1
    assert tombstones_of(store.query, [name]) == {}


def test_the_program_killed_in_a_removal_goes_on(handrail: CommandLine) -> None:
    before = at_home(handrail)
    given = ("archive", "--older-than", "1d", "-o", "old.jsonl", "--by", "ann", "--reason", "old", "--yes")
    log = handrail.folder / "faults"
    deaths = 0
    for number in range(1, 40):
        ended = handrail(*given, HANDRAIL_FAULT_POINT=f"project.after:{number}", HANDRAIL_FAULT_LOG=str(log))
        if ended.code == 0:
            break
        assert ended.code == -signal.SIGKILL, ended.errors
        deaths += 1
    assert 0 < deaths < 39
    assert handrail("verify", "old.jsonl", "--store").code == 0
    with open_home(handrail) as store:
        check_whole(store, before, handrail.folder / "old.jsonl")
        assert compared(store).total == 0
    again = handrail(*given, "--json").document
    assert (again["workflows"], again["archived_before"]) == (0, len(names_in(handrail.folder / "old.jsonl")))


def test_whoever_looks_is_told(handrail: CommandLine) -> None:
    before = at_home(handrail)
    sealed_before = handrail("seal", "-o", "before.seal")
    assert sealed_before.code == 0, sealed_before.errors
    of_one = len(handrail("list", "--definition", "fixed", "--json").document)
    shown = handrail("archive", "--older-than", "1d", "--dry-run", "--json").document
    told = handrail("archive", "--older-than", "1d", "-o", "old.jsonl", "--by", "ann", "--reason", "old", "--json")
    assert told.code == 0, told.errors
    assert (told.document["workflows"], told.document["events"]) == (shown["workflows"], shown["events"])
    gone = names_in(handrail.folder / "old.jsonl")
    words = f"workflow {gone[0]!r} "
    for command in (
        ("show",), ("history",), ("replay",), ("compare",), ("cancel", "--reason", "x"), ("export", "-o", "x.jsonl"),
        ("pause", "--reason", "x"), ("retry", "--step", "s", "--reason", "x"),
    ):  # fmt: skip
        ended = handrail(command[0], gone[0], *command[1:])
        assert (ended.code, words in ended.errors, "was archived on" in ended.errors) == (2, True, True), ended
        assert "old.jsonl --read-only" in ended.errors
    assert f"{len(gone)} more are archived" in handrail("list").errors
    left = handrail("list", "--definition", "fixed", "--json")
    of_one -= len(left.document)
    assert (0 < of_one < len(gone), f"{of_one} more are archived" in left.errors) == (True, True), left.errors
    everything_else = handrail("export", "--all", "-o", "rest.jsonl")
    assert f"{len(gone)} archived workflows not in it" in everything_else.errors
    assert handrail("replay", "--all", "--json").objects[-1]["archived"] == len(gone)
    for file in ("before.seal", "old.jsonl"):
        held = handrail("verify", file, "--store", "--json")
        assert (held.code, held.document["store"]["archived"]) == (0, len(gone)), held.out
    assert handrail("seal", "-o", "after.seal").code == 0
    assert (handrail.folder / "after.seal").read_bytes() == (handrail.folder / "before.seal").read_bytes()
    begun = handrail("run", "--goal", "greet", "--json")
    assert begun.objects[-1]["workflow"] not in before, begun
    imported = handrail("import", "old.jsonl", "--read-only", "--home", "elsewhere")
    assert imported.code == 0, imported.errors
    assert handrail("show", gone[0], "--home", "elsewhere").code == 0


def test_a_definition_that_nothing_is_called_is_refused(handrail: CommandLine) -> None:
    at_home(handrail)
    for more in (("--dry-run",), ("-o", "old.jsonl", "--yes")):
        refused = handrail("archive", "--older-than", "1s", "--reason", "old", "--definition", "nobody", *more)
        assert (refused.code, "--definition 'nobody': none is loaded" in refused.errors) == (2, True), refused
    for spelt in ("FIXED", "fixed"):
        found = handrail("archive", "--older-than", "1s", "--definition", spelt, "--dry-run", "--json").document
        assert found["workflows"] > 0


def test_a_definition_is_known_of_which_all_is_archived(handrail: CommandLine) -> None:
    at_home(handrail)
    assert handrail("archive", "--older-than", "1d", "-o", "old.jsonl", "--reason", "old", "--yes").code == 0
    with open_home(handrail) as store, store.transaction() as cursor:
        cursor.execute("DELETE FROM tallies", ())
    for definition, code in (("fixed", 0), ("nobody", 2)):
        assert handrail("failures", "--definition", definition).code == code


def test_a_file_of_last_time_takes_no_more(handrail: CommandLine) -> None:
    at_home(handrail)
    given = ("archive", "--older-than", "1d", "-o", "old.jsonl", "--reason", "old", "--yes")
    assert handrail(*given, "--definition", "fixed").code == 0
    ended = handrail(*given)
    assert ended.code == 2
    assert "could go: name another file for them" in ended.errors
