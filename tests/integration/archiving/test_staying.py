"""Who stays in the store although it ended long ago, and why."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.archiving import choosing, removing
from deploy.archiving.choosing import Ripe
from deploy.archiving.files import filed
from domain.store.application import WorkflowStore
from producers.relay import RELAY
from projections.schema import POSITION
from tests.integration.archiving.stage import Archive, compared, follow, histories, left_of, names_in, stock, wanted


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "old.jsonl"


@pytest.fixture
def stocked(store: WorkflowStore) -> WorkflowStore:
    stock(store, histories(30, 1))
    return store


def ripe_ones(store: WorkflowStore) -> list[str]:
    names = [name for (name,) in store.query("SELECT workflow_id FROM workflows ORDER BY workflow_id")]
    return Ripe(store.query, wanted()).among(names)


def change(store: WorkflowStore, statement: str, *values: object) -> None:
    with store.transaction() as cursor:
        cursor.execute(statement, values)


OBSTACLES = {
    "a wait": ("INSERT INTO waits VALUES (?, 'k', 's', 'intervention', 'd', '', '2024', NULL)", "is awaited still"),
    "a timer": ("INSERT INTO timers VALUES (?, 1.0, NULL)", "a timer of it"),
    "a reminder": ("INSERT INTO approvals_pending VALUES (?, 's', 3, 1, 1.0)", "an approval of it"),
    "a parked event": ("INSERT INTO relay_parked VALUES (?, 3, 'full', 1.0, 0, 1.0)", "the relay holds back"),
    "a parked view": ("INSERT INTO parked_views VALUES (?, 3, 'odd')", "cannot be folded"),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_what_is_not_done_with_stays(stocked: WorkflowStore, obstacle: str) -> None:
    statement, words = OBSTACLES[obstacle]
    first, *rest = ripe_ones(stocked)
    change(stocked, statement, first)
    ripe = Ripe(stocked.query, wanted())
    assert ripe.among([first, *rest]) == rest
    ((reason, number),) = ripe.kept.items()
    assert (number, words in reason) == (1, True)


def test_a_timer_without_an_instant_holds_nobody(stocked: WorkflowStore, target: Path) -> None:
    first = ripe_ones(stocked)[0]
    change(stocked, "INSERT INTO timers VALUES (?, NULL, NULL)", first)
    Archive(stocked, target).run()
    assert left_of(stocked, [first]) == {}


@pytest.mark.parametrize("name", [RELAY, POSITION])
def test_who_follows_must_be_past_it(stocked: WorkflowStore, target: Path, name: str) -> None:
    ripe = ripe_ones(stocked)
    marks = ", ".join("?" * len(ripe))
    rows = stocked.query(
        f"SELECT originator_id, max(id) FROM stored_events WHERE originator_id IN ({marks}) GROUP BY originator_id "
        "ORDER BY 2",
        ripe,
    )
    middle = rows[len(rows) // 2][1]
    archive = Archive(stocked, target)
    archive.write()
    change(stocked, "UPDATE positions SET position = ? WHERE name = ?", middle, name)
    assert set(ripe_ones(stocked)) == {workflow for workflow, last in rows if last <= middle}
    removed = archive.remove()
    assert removed.workflows == len(rows) // 2 + 1
    assert removed.kept == {choosing.BEHIND: len(rows) - removed.workflows}


def test_nobody_goes_whose_relay_never_ran(stocked: WorkflowStore) -> None:
    change(stocked, "DELETE FROM positions WHERE name = ?", RELAY)
    assert ripe_ones(stocked) == []


def test_the_newest_event_of_the_log_stays(stocked: WorkflowStore, target: Path) -> None:
    """Its position is never given again, and nobody's position is ahead of the log."""
    while True:
        ((name,),) = stocked.query("SELECT originator_id FROM stored_events ORDER BY id DESC LIMIT 1")
        ended = stocked.query("SELECT 1 FROM workflows WHERE workflow_id = ? AND ended_at IS NOT NULL", (name,))
        if ended:
            break
        change(stocked, "DELETE FROM stored_events WHERE originator_id = ?", name)
    newest = stocked.newest()
    ripe = Ripe(stocked.query, wanted())
    assert name not in ripe.among([name])
    assert ripe.kept == {choosing.NEWEST: 1}
    Archive(stocked, target).run()
    assert stocked.newest() == newest


def test_messages_that_are_held_keep_those_of_their_definition(stocked: WorkflowStore) -> None:
    (name, definition, version), *_ = stocked.query(
        "SELECT workflow_id, definition, definition_version FROM workflows WHERE workflow_id = ?",
        (ripe_ones(stocked)[0],),
    )
    held = f"{definition} {version}"
    change(stocked, "INSERT INTO messages_held VALUES ('r', 'q', 'm', 's', ?, 'd', '{}', '{}', 2, 1.0, 1.0)", held)
    ripe = Ripe(stocked.query, wanted())
    assert ripe.among([name]) == []
    assert ripe.kept == {choosing.HELD: 1}


@pytest.mark.parametrize("state", ["open", "claimed", "handed_over"])
def test_a_command_under_way_keeps_its_workflow(stocked: WorkflowStore, target: Path, state: str) -> None:
    archive = Archive(stocked, target)
    archive.write()
    one = next(one for one in filed(target) if one.messages)
    change(
        stocked,
        "INSERT INTO inbox (message_id, kind, workflow_id, state) VALUES (?, 'run', ?, ?)",
        one.messages[-1],
        one.workflow_id,
        state,
    )
    removed = archive.remove()
    assert removed.kept == {removing.UNDER_WAY: 1}
    assert "stored_events" in left_of(stocked, [one.workflow_id])
    change(stocked, "UPDATE inbox SET state = 'done' WHERE message_id = ?", one.messages[-1])
    assert archive.remove().workflows == 1
    assert stocked.query("SELECT state FROM inbox WHERE message_id = ?", (one.messages[-1],)) == [("done",)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stored_events SET topic = 'StepSkipped' WHERE originator_id = ? AND originator_version = 2",
        "UPDATE workflow_keys SET key = 'zz' WHERE workflow_id = ?",
    ],
)
def test_what_is_damaged_stays_and_is_told(stocked: WorkflowStore, target: Path, statement: str) -> None:
    first, *rest = ripe_ones(stocked)
    change(stocked, statement, first)
    archive = Archive(stocked, target)
    removed = archive.run()
    assert archive.kept == {choosing.DAMAGED: 1}
    assert removed.workflows == len(rest)
    assert "stored_events" in left_of(stocked, [first])


def related(store: WorkflowStore, pairs: Callable[[list[str]], list[tuple[str, str]]]) -> list[str]:
    """Have workflows be children, (child, parent) each, as the views say; all that could go by themselves."""
    ripe = ripe_ones(store)
    for child, parent in pairs(ripe):
        change(store, "UPDATE workflows SET parent_workflow = ? WHERE workflow_id = ?", parent, child)
    return ripe


def open_one(store: WorkflowStore) -> str:
    ((name,),) = store.query("SELECT workflow_id FROM workflows WHERE ended_at IS NULL ORDER BY workflow_id LIMIT 1")
    return str(name)


@pytest.mark.parametrize("whose", ["the parent's", "the child's", "the grandparent's", "the sibling's"])
def test_a_family_goes_as_a_whole(stocked: WorkflowStore, target: Path, whose: str) -> None:
    still = open_one(stocked)
    pairs = {
        "the parent's": lambda ripe: [(ripe[0], still)],
        "the child's": lambda ripe: [(still, ripe[0])],
        "the grandparent's": lambda ripe: [(ripe[0], ripe[1]), (ripe[1], still)],
        "the sibling's": lambda ripe: [(ripe[0], ripe[1]), (still, ripe[1])],
    }[whose]
    ripe = related(stocked, pairs)
    family = 2 if whose in {"the grandparent's", "the sibling's"} else 1
    archive = Archive(stocked, target)
    removed = archive.run()
    assert archive.kept == {choosing.FAMILY: family}
    assert names_in(target) == sorted(ripe[family:])
    assert removed.workflows == len(ripe) - family


def test_a_family_that_is_over_goes(stocked: WorkflowStore, target: Path) -> None:
    ripe = related(stocked, lambda ripe: [(ripe[0], ripe[1]), (ripe[2], ripe[1]), (ripe[3], ripe[2])])
    assert Archive(stocked, target).run().workflows == len(ripe)


def test_a_family_is_looked_at_again_when_any_file_is_named(stocked: WorkflowStore, target: Path) -> None:
    """The file may be of another day, or any export: what is in it is not removed for that alone."""
    archive = Archive(stocked, target)
    archive.write()
    still = open_one(stocked)
    related(stocked, lambda ripe: [(ripe[0], still)])
    assert archive.remove().kept == {choosing.FAMILY: 1}


def test_only_those_of_a_definition_go(stocked: WorkflowStore, target: Path) -> None:
    definitions = {name for (name,) in stocked.query("SELECT DISTINCT definition FROM workflows")}
    assert len(definitions) > 1
    one = min(definitions)
    Archive(stocked, target, wanted(one)).run()
    assert {name for (name,) in stocked.query("SELECT DISTINCT definition FROM tombstones")} == {one}
    follow(stocked)
    assert compared(stocked).total == 0
