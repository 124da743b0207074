"""Workflows go to a file and out of the store, and whoever looks afterwards finds everything in its place."""

from pathlib import Path

import pytest

from deploy.archiving import removing
from domain.errors import InputInvalid, StoreUnavailable, WorkflowArchived
from domain.events import WorkflowPaused
from domain.recorded import record, stamp
from domain.store.application import WorkflowStore
from domain.store.tombstones import tombstones_of
from projections.exporting.against import HeldAgainst, heads_in
from projections.keeper import Keeper
from projections.log import LogReader
from projections.projector import catch_up
from projections.rebuilding import Rebuild
from projections.totals import Totals
from tests.integration.archiving.stage import (
    LATER,
    Archive,
    compared,
    everything,
    histories,
    left_of,
    names_in,
    sealed,
    stock,
)
from tests.integration.exports.stock import fill


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "old.jsonl"


@pytest.fixture
def stocked(store: WorkflowStore) -> WorkflowStore:
    stock(store, histories(40, 1))
    return store


def held_against(store: WorkflowStore, lines: bytes) -> HeldAgainst:
    held = HeldAgainst()
    held.hold(store, store.mapper.clear, heads_in(lines.splitlines(keepends=True)))
    return held


def test_what_ended_goes_and_what_is_open_stays(stocked: WorkflowStore, target: Path) -> None:
    before = set(everything(stocked))
    ended = {name for (name,) in stocked.query("SELECT workflow_id FROM workflows WHERE ended_at IS NOT NULL")}
    removed = Archive(stocked, target).run()
    gone = names_in(target)
    assert 5 < removed.workflows == len(gone)
    assert set(gone) <= ended
    assert set(everything(stocked)) == before - set(gone)
    assert left_of(stocked, gone) == {}
    stones = tombstones_of(stocked.query, gone)
    assert stones.keys() == set(gone)
    assert {(one.archived_by, one.reason, one.file) for one in stones.values()} == {
        ("ann", "old", "/archive/may.jsonl")
    }
    assert sum(one.version for one in stones.values()) == removed.events
    with pytest.raises(WorkflowArchived):
        stocked.load(gone[0])


def test_views_and_log_agree_afterwards(stocked: WorkflowStore, target: Path) -> None:
    assert compared(stocked).total == 0
    failures = stocked.query("SELECT * FROM failures ORDER BY fingerprint")
    Archive(stocked, target).run()
    assert stocked.query("SELECT * FROM archived_failures") != [], "no archived workflow has failed"
    report = compared(stocked)
    assert report.shown == []
    assert stocked.query("SELECT * FROM failures ORDER BY fingerprint") == failures
    assert stocked.query("SELECT count(*) FROM tallies WHERE number < 0") == [(0,)]


def test_views_that_begin_again_come_to_the_same(stocked: WorkflowStore, target: Path) -> None:
    Archive(stocked, target).run()
    before = stocked.query("SELECT fingerprint, number, first_seen, last_seen FROM failures ORDER BY fingerprint")
    keeper = Keeper(stocked)
    keeper.rebuild()
    catch_up(keeper, LogReader(stocked.recorder, stocked.mapper.read))
    after = stocked.query("SELECT fingerprint, number, first_seen, last_seen FROM failures ORDER BY fingerprint")
    assert after == before


def test_a_seal_is_the_same_before_and_after(stocked: WorkflowStore, target: Path) -> None:
    before = sealed(stocked)
    removed = Archive(stocked, target).run()
    assert sealed(stocked) == before
    held = held_against(stocked, before)
    assert (held.findings, held.archived, held.workflows) == ([], removed.workflows, 40)
    own = held_against(stocked, target.read_bytes())
    assert (own.findings, own.archived) == ([], removed.workflows)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "UPDATE tombstones SET head = 'f' || substr(head, 2) WHERE workflow_id = ?",
            "another digest in its tombstone",
        ),
        ("UPDATE tombstones SET version = version - 1 WHERE workflow_id = ?", "is missing: the tombstone says"),
        ("DELETE FROM tombstones WHERE workflow_id = ?", "is missing from the store"),
    ],
)
def test_a_planted_tombstone_is_found(stocked: WorkflowStore, target: Path, change: str, words: str) -> None:
    before = sealed(stocked)
    Archive(stocked, target).run()
    (name, *_) = names_in(target)
    stone = tombstones_of(stocked.query, [name])[name]
    if stone.head.startswith("f"):
        change = change.replace("'f'", "'e'")
    with stocked.transaction() as cursor:
        cursor.execute(change, (name,))
    (finding,) = held_against(stocked, before).findings
    assert (finding.workflow, words in finding.words) == (name, True)


def test_a_tombstone_beside_events_is_found(stocked: WorkflowStore) -> None:
    before = sealed(stocked)
    with stocked.transaction() as cursor:
        cursor.execute(
            "INSERT INTO tombstones VALUES "
            "('wf_007', 'd', '1', 'completed', 3, 'x', 1, 2, NULL, 'e', 'a', 'b', 'r', 'f', 'r')"
        )
    (finding,) = held_against(stocked, before).findings
    assert (finding.workflow, finding.words) == (
        "wf_007",
        "is in the store, and has a tombstone as if it were archived",
    )


def test_once_more_does_nothing(stocked: WorkflowStore, target: Path) -> None:
    first = Archive(stocked, target).run()
    again = Archive(stocked, target).run()
    assert (again.workflows, again.before, +again.kept) == (0, first.workflows, {})
    assert compared(stocked).total == 0


def test_gauges_follow(stocked: WorkflowStore, target: Path) -> None:
    """The projector has what it tells of in memory: it is told to begin again."""
    totals = Totals()
    keeper = Keeper(stocked, totals=totals)
    keeper.begin()
    before = totals.tallies.total()
    removed = Archive(stocked, target).run()
    fill(stocked, [[event] for (event, *_) in histories(41, 2)[40:]])
    log = LogReader(stocked.recorder, stocked.mapper.read)
    keeper.take(log.read(keeper.position, 10))
    assert not keeper.write(), "nobody told the projector"
    keeper.take(log.read(keeper.position, 10))
    assert keeper.write()
    assert totals.tallies.total() == before - removed.workflows + 1


def test_nothing_old_is_no_file(stocked: WorkflowStore, target: Path) -> None:
    archive = Archive(stocked, target)
    archive.wanted = archive.wanted.__class__(LATER.replace(year=1990))
    assert archive.run().workflows == 0
    assert not target.exists()


def test_a_file_that_was_changed_removes_nothing(stocked: WorkflowStore, target: Path) -> None:
    archive = Archive(stocked, target)
    archive.write()
    target.write_bytes(target.read_bytes().replace(b'"actor":"', b'"actor":"x', 1))
    before = list(everything(stocked))
    with pytest.raises(InputInvalid, match="is not what was exported: line 3"):
        archive.remove()
    assert list(everything(stocked)) == before


def test_what_went_on_meanwhile_stays(stocked: WorkflowStore, other: WorkflowStore, target: Path) -> None:
    """Between file and removal a workflow is added to: the file does not hold that."""
    archive = Archive(stocked, target)
    archive.write()
    name = names_in(target)[0]
    _add_late(other, name)
    stock(other, [[event] for (event, *_) in histories(41, 2)[40:]])
    removed = archive.remove()
    assert removed.kept == {removing.CHANGED: 1}
    assert name not in tombstones_of(stocked.query, [name])
    assert left_of(stocked, [name])["stored_events"] > 1
    assert removed.workflows == len(names_in(target)) - 1
    assert compared(stocked).total == 0


def _add_late(store: WorkflowStore, name: str) -> None:
    """Somebody retries a step of a workflow that is over: it is refused, and that recorded."""
    ((version, topic, state),) = store.query(
        "SELECT originator_version, topic, state FROM stored_events WHERE originator_id = ? "
        "ORDER BY originator_version DESC LIMIT 1",
        (name,),
    )
    last = store.mapper.read(name, version, topic, state)
    event = WorkflowPaused(by="ann", reason="late")
    made = record(event, stamp(name, last.timestamp, "late", "ann", version + 1), version + 1, last.digest)
    store.recorder.insert_rows([store.mapper.to_row(made)])


def test_a_rebuild_that_was_overtaken_says_so(stocked: WorkflowStore, target: Path) -> None:
    archive = Archive(stocked, target)
    done: list[int] = []

    def tell(_at: int, _goal: int) -> None:
        if not done:
            done.append(archive.run().workflows)

    rebuild = Rebuild(stocked, LogReader(stocked.recorder, stocked.mapper.read), tell=tell)
    with pytest.raises(StoreUnavailable, match="workflows were archived meanwhile: run this once more"):
        rebuild.run(mend=True, now=LATER)
    assert done[0] > 5
    assert compared(stocked).total == 0
