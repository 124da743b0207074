"""A store is held against heads that were kept elsewhere: what was changed or taken away is found where it is."""

import contextlib
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.store.application import WorkflowStore
from projections.exporting.against import HeldAgainst, heads_in
from projections.exporting.jsonl import JsonLines
from projections.exporting.reading import Histories, Selection
from projections.exporting.redaction import Redaction
from projections.exporting.verifying import Finding
from tests.integration.command_line import CommandLine
from tests.integration.exports.stock import exported, fill, histories, paying
from tests.integration.exports.tampering import CHECK, SIGNER, tampered_with, verdicts
from tests.servers.postgres import Database

CHANGES_OF_THE_STORE = 350

Place = tuple[str, int]
Rows = dict[Place, bytes]


def sealed(store: WorkflowStore) -> bytes:
    made = JsonLines(Selection(), Redaction(), SIGNER, seal=True)
    return b"".join(made.lines(Histories(store.query, store.mapper.clear, Selection())))


def held(store: WorkflowStore, content: bytes) -> list[Finding]:
    against = HeldAgainst()
    against.hold(store.query, store.mapper.clear, heads_in(content.splitlines(keepends=True)))
    assert against.workflows == 12
    return against.findings


def test_an_untouched_store_is_sound_by_its_seal_and_by_its_export(stocked: WorkflowStore) -> None:
    content = sealed(stocked)
    assert verdicts(content) == [("sound", []), ("sound", [])]
    assert content == sealed(stocked)
    assert (held(stocked, content), held(stocked, exported(stocked))) == ([], [])
    fill(stocked, [list(paying("wf_100", 100))])
    assert held(stocked, content) == [], "what came later is no fault"


def test_sqlite_and_postgresql_have_the_same_seal(stocked: WorkflowStore, stocked_postgres: WorkflowStore) -> None:
    content = sealed(stocked)
    assert sealed(stocked_postgres) == content
    assert held(stocked_postgres, content) == []


def test_300_changes_of_a_seal_are_found_where_they_are(stocked: WorkflowStore) -> None:
    content = sealed(stocked)
    # Swaps between workflows are of events, which a seal has none of.
    assert tampered_with(content, [seed for seed in range(350) if seed % 7 != 5], check=CHECK) == []


# --- changes of the store itself ------------------------------------------------------------------------------------


def flip_bit(rows: Rows, chance: random.Random) -> set[Place]:
    place = chance.choice(sorted(rows))
    state = bytearray(rows[place])
    state[chance.randrange(len(state))] ^= 1 << chance.randrange(8)
    rows[place] = bytes(state)
    return {place}


def delete(rows: Rows, chance: random.Random) -> set[Place]:
    place = chance.choice(sorted(rows))
    del rows[place]
    return {place}


def truncate(rows: Rows, chance: random.Random) -> set[Place]:
    """Take the end of a history away, or all of it."""
    workflow, version = chance.choice(sorted(rows))
    for place in [place for place in rows if place[0] == workflow and place[1] >= version]:
        del rows[place]
    return {(workflow, version)}


def swap(rows: Rows, chance: random.Random) -> set[Place]:
    """What one event holds is put into another place, of the same workflow or another, and the other way round."""
    one, other = chance.sample(sorted(rows), 2)
    rows[one], rows[other] = rows[other], rows[one]
    return {one, other}


def swap_payloads(rows: Rows, chance: random.Random) -> set[Place]:
    one, other = chance.sample(sorted(rows), 2)
    heads, payloads = zip(*(rows[place].rsplit(b"\n", 1) for place in (one, other)), strict=True)
    rows[one], rows[other] = b"\n".join((heads[0], payloads[1])), b"\n".join((heads[1], payloads[0]))
    return {one, other} if payloads[0] != payloads[1] else set()


def insert(rows: Rows, chance: random.Random) -> set[Place]:
    """One more event, in a place of its own: whatever is behind it moves on by one."""
    workflow, version = chance.choice(sorted(rows))
    copied = rows[chance.choice(sorted(rows))]
    later = sorted((place for place in rows if place[0] == workflow and place[1] >= version), reverse=True)
    for place in later:
        rows[workflow, place[1] + 1] = rows.pop(place)
    rows[workflow, version] = copied
    # A copy of the very event that was there is that event; what is wrong comes behind it.
    return {(workflow, version), (workflow, version + 1)}


def reorder(rows: Rows, chance: random.Random) -> set[Place]:
    workflow, version = chance.choice([place for place in sorted(rows) if (place[0], place[1] + 1) in rows])
    one, other = (workflow, version), (workflow, version + 1)
    rows[one], rows[other] = rows[other], rows[one]
    return {one}


CHANGES: tuple[Callable[[Rows, random.Random], set[Place]], ...] = (
    flip_bit, delete, truncate, swap, swap_payloads, insert, reorder,
)  # fmt: skip


def test_changes_of_the_store_are_found_where_they_are(stocked: WorkflowStore, home: Path) -> None:
    content = sealed(stocked)
    with contextlib.closing(sqlite3.connect(home / "handrail.db", isolation_level=None)) as connection:
        read = "SELECT originator_id, originator_version, state FROM stored_events"
        before: Rows = {(workflow, version): state for workflow, version, state in connection.execute(read)}
        topics = dict(connection.execute("SELECT originator_id || originator_version, topic FROM stored_events"))
        for seed in range(CHANGES_OF_THE_STORE):
            rows, change = dict(before), CHANGES[seed % len(CHANGES)]
            planted = change(rows, random.Random(seed))
            connection.execute("BEGIN")
            connection.execute("DELETE FROM stored_events")
            connection.executemany(
                "INSERT INTO stored_events (originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?)",
                [
                    (name, version, topics.get(f"{name}{version}", "StepSkipped"), state)
                    for (name, version), state in rows.items()
                ],
            )
            connection.execute("COMMIT")
            found = {(one.workflow, one.version) for one in held(stocked, content)}
            # Of several places in one workflow the first is named.
            first = {workflow: min(version for name, version in planted if name == workflow) for workflow, _ in planted}
            told = f"seed {seed}, {change.__name__}: planted {planted}, found {found}"
            assert bool(found) == bool(planted), told
            assert found <= planted, told
            assert change is insert or found == set(first.items()), told


@pytest.mark.parametrize("place", ["home", "shared"])
def test_the_command_line_seals_and_holds_the_store_against_it(
    place: str, stocked: WorkflowStore, handrail: CommandLine, request: pytest.FixtureRequest
) -> None:
    environment: dict[str, str] = {}
    if place == "shared":
        request.getfixturevalue("stocked_postgres")
        database: Database = request.getfixturevalue("database")
        environment["HANDRAIL_STORE"] = database.url
        assert handrail("migrate", **environment).code == 0
    written = handrail("seal", "-o", "monday.seal", **environment)
    assert (written.code, "the heads of 12 workflows" in written.errors) == (0, True), written.errors
    verified = handrail("verify", "monday.seal", "--store", **environment)
    assert verified.code == 0, verified.errors
    assert verified.lines[-1].startswith("sound: the store, 12 workflows, ")
    if place == "shared":
        return
    with contextlib.closing(sqlite3.connect(handrail.home / "handrail.db")) as connection, connection:
        connection.execute("DELETE FROM stored_events WHERE originator_id = 'wf_003' AND originator_version > 4")
        connection.execute("DELETE FROM stored_events WHERE originator_id = 'wf_005'")
    verified = handrail("verify", "monday.seal", "--store")
    assert verified.code == 1
    assert [line.partition(": is")[0] for line in verified.lines if line.startswith("the store")] == [
        "the store, workflow wf_003, event 5: version",
        "the store, workflow wf_005, event 1: version",
    ]
    told = handrail("verify", "monday.seal", "--store", "--json").document
    assert (told["sound"], told["store"]["sound"], told["exit_code"]) == (True, False, 1)
    seal = handrail.folder / "monday.seal"
    seal.write_bytes(seal.read_bytes().replace(b'"number":2', b'"number":3'))
    changed = handrail("verify", "monday.seal", "--store")
    assert (changed.code, "the store was not looked at" in changed.errors) == (1, True)
    refused = handrail("verify", "monday.seal", "--home", ".handrail")
    assert (refused.code, "--store" in refused.errors) == (2, True)


def test_the_end_of_a_history_that_an_export_has_is_missed_in_the_store(stocked: WorkflowStore, home: Path) -> None:
    content = exported(stocked)
    last = len(histories(1)[0])
    with contextlib.closing(sqlite3.connect(home / "handrail.db")) as connection, connection:
        connection.execute(
            "DELETE FROM stored_events WHERE originator_id = 'wf_001' AND originator_version = ?", (last,)
        )
    assert [(one.workflow, one.version, one.check.value) for one in held(stocked, content)] == [
        ("wf_001", last, "version")
    ]
