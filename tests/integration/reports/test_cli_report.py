"""`handrail report` and `handrail export --format html`, with the real program."""

import json
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cli.main import main
from deploy.loading import LoadedDefinitions
from deploy.opened import SCHEMA, open_store
from domain.store.application import WorkflowStore
from domain.store.opening import open_postgres_store
from tests.integration.command_line import CommandLine
from tests.integration.exports.stock import fill, histories
from tests.integration.watched import everything
from tests.servers.postgres import Database

FILES = ["wf_002.html", "wf_002.jsonl", "wf_002.mmd"]
WORKFLOWS = 9


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a workflow that completed, one that was undone, and one that waits for a person."""
    handrail = CommandLine(tmp_path_factory.mktemp("once"))
    for goal in ("greet", "undo", "asking"):
        handrail("run", "--goal", goal, "--by", "ada")
    return handrail.home


@pytest.fixture
def ran(handrail: CommandLine, once: Path) -> CommandLine:
    """A copy of that home."""
    shutil.copytree(once, handrail.home)
    return handrail


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_folder_with_the_page_its_export_and_a_diagram(ran: CommandLine) -> None:
    before = everything(ran.home)
    made = ran("report", "wf_002")
    assert (made.code, made.out) == (0, "wf_002-report/wf_002.html\n"), made.errors
    assert made.errors.splitlines()[0] == "wf_002 compensated; first cause: event 8: an activity failed"
    folder = ran.folder / "wf_002-report"
    assert sorted(contents(folder)) == FILES
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert (stat.S_IMODE(folder.stat().st_mode), modes) == (0o700, {0o600})
    assert ran("verify", "wf_002-report/wf_002.jsonl").code == 0
    assert (folder / "wf_002.mmd").read_bytes().startswith(b"sequenceDiagram\n")
    told = ran("replay", "wf_002", "--json").document
    page = (folder / "wf_002.html").read_text(encoding="utf-8")
    assert told["head"] in page
    assert f"log position {told['position']}, event 18" in page
    assert everything(ran.home) == before


def test_the_same_position_gives_the_same_bytes_and_so_does_the_export(ran: CommandLine) -> None:
    assert ran("report", "wf_002", "-o", "one").code == 0
    assert ran("report", "wf_002", "-o", "two", "--home", str(ran.home), TZ="Asia/Tokyo", COLUMNS="40").code == 0
    one = contents(ran.folder / "one")
    assert one == contents(ran.folder / "two")
    ran("export", "wf_002", "--format", "html", "-o", "page.html")
    assert (ran.folder / "page.html").read_bytes() == one["wf_002.html"]
    ran("run", "--goal", "greet", "--by", "ada")
    ran("report", "wf_002", "-o", "later")
    assert contents(ran.folder / "later")["wf_002.html"] != one["wf_002.html"], "it says which position it is of"


def test_json_says_what_was_made(ran: CommandLine) -> None:
    told = ran("report", "wf_003", "-o", "asked", "--json").document
    assert told["files"] == {name: len(content) for name, content in contents(ran.folder / "asked").items()}
    assert (told["folder"], told["status"], told["first_cause"]["kind"]) == ("asked", "blocked", "awaiting_approval")
    assert told["position"] == ran("replay", "wf_003", "--json").document["position"]
    well = ran("report", "wf_001", "-o", "well", "--json").document
    assert well["first_cause"] is None


def test_a_folder_is_replaced_only_where_that_is_wanted_and_it_is_such_a_report(ran: CommandLine) -> None:
    assert ran("report", "wf_002", "-o", "made").code == 0
    refused = ran("report", "wf_002", "-o", "made")
    assert (refused.code, "give --force" in refused.errors) == (2, True)
    (ran.folder / "made" / "wf_002.html").write_text("old", encoding="utf-8")
    assert ran("report", "wf_002", "-o", "made", "--force").code == 0
    assert contents(ran.folder / "made")["wf_002.html"].startswith(b"<!DOCTYPE html>")
    (ran.folder / "made" / "notes.txt").write_text("mine", encoding="utf-8")
    before = contents(ran.folder / "made")
    refused = ran("report", "wf_002", "-o", "made", "--force")
    assert (refused.code, "holds 'notes.txt'" in refused.errors) == (2, True)
    assert contents(ran.folder / "made") == before
    assert sorted(path.name for path in ran.folder.iterdir()) == [".handrail", "made"], "and nothing is left beside"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("report", "wf_009"), "wf_009"),
        (("report", "../wf_001"), "is not a name"),
        (("report", "wf_001", "-o", "no/where"), "does not exist"),
        (("report", "wf_001", "-o", ".handrail"), "exists already"),
        (("report", "wf_001", "--redact", "a b"), "is no rule"),
        (("report", "wf_001", "--redact", "step"), "there is no report"),
        (("export", "wf_001", "wf_002", "--format", "html", "-o", "x"), "shows one workflow"),
        (("export", "--all", "--format", "html", "-o", "x"), "shows one workflow"),
        (("export", "wf_001", "--format", "html", "--upto", "3", "-o", "x"), "--upto"),
        (("export", "wf_001", "--format", "csv", "--module", "m", "-o", "x"), "--module"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_left(
    ran: CommandLine,
    arguments: tuple[str, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ran.folder)
    monkeypatch.setenv("HANDRAIL_MODULES", ran.modules)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert [path.name for path in ran.folder.iterdir()] == [".handrail"]


def test_a_damaged_record_is_reported_on_with_exit_code_1(ran: CommandLine) -> None:
    with sqlite3.connect(ran.home / "handrail.db") as store:
        store.execute("DROP TRIGGER IF EXISTS stored_events_stay")
        store.execute(
            "UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT), 'be done', 'be dome') AS BLOB) "
            "WHERE originator_id = 'wf_002' AND originator_version = 8"
        )
    store.close()
    made = ran("report", "wf_002", "-o", "damaged")
    assert made.code == 1, made.errors
    assert "first cause: event 8: the record was changed" in made.errors
    assert "broken at event 8" in (ran.folder / "damaged" / "wf_002.html").read_text(encoding="utf-8")
    assert ran("verify", "damaged/wf_002.jsonl").code == 1
    assert ran("export", "wf_002", "--format", "html", "-o", "page.html").code == 1


@pytest.fixture
def stocked(handrail: CommandLine) -> CommandLine:
    """A home with histories by chance, each third with values that its model marks."""
    store = open_store(handrail.home, LoadedDefinitions())
    fill(store, histories(WORKFLOWS))
    store.close()
    return handrail


@pytest.fixture
def stocked_postgres(database: Database) -> Iterator[WorkflowStore]:
    """The same on PostgreSQL."""
    store = open_postgres_store(database.url, definitions=LoadedDefinitions(), schema=SCHEMA, create=True)
    fill(store, histories(WORKFLOWS))
    yield store
    store.close()


def test_sqlite_and_postgresql_give_the_same_bytes(
    stocked: CommandLine, stocked_postgres: WorkflowStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stocked.folder)
    monkeypatch.setenv("HANDRAIL_MODULES", stocked.modules)
    for name in ("wf_001", "wf_003"):
        for number, rules in enumerate(((), ("--redact", "iban"))):
            here, there = f"{name}-{number}-here", f"{name}-{number}-there"
            assert main(["report", name, *rules, "-o", here]) == 0
            with monkeypatch.context() as shared:
                shared.setenv("HANDRAIL_STORE", database.url)
                assert main(["migrate"]) == 0
                assert main(["report", name, *rules, "-o", there]) == 0
            assert contents(stocked.folder / here) == contents(stocked.folder / there)


def test_what_is_redacted_is_in_none_of_the_files_and_they_verify(stocked: CommandLine) -> None:
    stocked("report", "wf_003", "-o", "whole")
    assert all(
        b"NL0003" in content for name, content in contents(stocked.folder / "whole").items() if name[-3:] != "mmd"
    )
    made = stocked("report", "wf_003", "-o", "cut", "--redact", "iban", "--json")
    told = made.document
    assert (made.code, told["withheld"] > 0, told["cut"] > 0) == (0, True, True)
    cut = contents(stocked.folder / "cut")
    assert not any(b"NL0003" in content or b"DE0003" in content for content in cut.values())
    verified = stocked("verify", "cut/wf_003.jsonl", "--json")
    assert verified.code == 0
    assert json.loads(cut["wf_003.jsonl"].splitlines()[-1])["manifest"]["redacted"] == ["iban"]
    assert b"not shown (redacted)" in cut["wf_003.html"]
