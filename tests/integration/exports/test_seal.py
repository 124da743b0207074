"""A store is held against heads that were kept elsewhere: what was changed or taken away is found where it is."""

import contextlib
import sqlite3
import subprocess
from pathlib import Path

import pytest

from deploy.cli.screen import Screen
from deploy.cli.session import Session
from deploy.cli.verifying import run_verify
from domain.errors import InputInvalid
from domain.store.application import WorkflowStore
from projections.exporting.against import HeldAgainst, heads_in
from projections.exporting.verifying import Check
from tests.integration.command_line import LIMIT_SECONDS, PROGRAM, CommandLine
from tests.integration.exports.stock import exported, fill, histories, paying
from tests.integration.exports.store_tampering import held, sealed, store_tampered_with
from tests.integration.exports.tampering import CHECK, tampered_with, verdicts
from tests.servers.postgres import Database


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


def test_560_changes_of_the_store_are_found_where_they_are(stocked: WorkflowStore, home: Path) -> None:
    assert store_tampered_with(stocked, home, range(560)) == []


def test_workflows_that_began_later_are_held_against_their_own_chains(stocked: WorkflowStore) -> None:
    content = sealed(stocked)
    later = [list(paying(f"wf_{number}", number)) for number in (100, 101, 102)]
    fill(stocked, later)
    against = HeldAgainst()
    against.hold(stocked, stocked.mapper.clear, heads_in(content.splitlines(keepends=True)))
    against.hold_others(stocked, stocked.mapper.clear)
    assert (against.workflows, against.others, against.other_events) == (12, 3, sum(map(len, later)))
    assert against.findings == []
    with stocked.transaction() as cursor:
        cursor.execute("DELETE FROM stored_events WHERE originator_id = 'wf_100' AND originator_version = 2")
        cursor.execute(
            "UPDATE stored_events SET state = state || ' ' WHERE originator_id = 'wf_101' AND originator_version = 1"
        )
        cursor.execute("DELETE FROM stored_events WHERE originator_id = 'wf_102'")
    against = HeldAgainst()
    against.hold(stocked, stocked.mapper.clear, heads_in(content.splitlines(keepends=True)))
    assert against.findings == []
    against.hold_others(stocked, stocked.mapper.clear)
    assert {(one.workflow, one.version, one.check) for one in against.findings} == {
        ("wf_100", 2, Check.VERSION),
        ("wf_101", 1, Check.PAYLOAD),
        ("wf_102", 1, Check.VERSION),
    }


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


def test_a_pipe_says_nothing_of_a_store(stocked: WorkflowStore, handrail: CommandLine) -> None:
    """Its second reading is empty: every store would have been sound by it."""
    seal = sealed(stocked)
    stocked.close()
    for more, code, words in (((), 3, "sound: 12 workflows"), (("--store",), 2, "is read twice, and must be a file")):
        ended = subprocess.run(
            [*PROGRAM, "verify", "/dev/stdin", *more],
            cwd=handrail.folder,
            env=handrail.environment(),
            input=seal,
            capture_output=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        assert (ended.returncode, words in (ended.stdout + ended.stderr).decode()) == (code, True), ended


def test_a_seal_that_is_changed_after_it_was_verified_says_nothing(
    stocked: WorkflowStore, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home.parent / "monday.seal"
    file.write_bytes(sealed(stocked))
    stocked.close()
    monkeypatch.setattr("deploy.cli.verifying.HeldAgainst", lambda: [file.write_bytes(b""), HeldAgainst()][1])
    with pytest.raises(InputInvalid, match="was changed while it was read"):
        run_verify(Screen(as_json=True), file, None, Session(str(home), None, as_json=True))


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
