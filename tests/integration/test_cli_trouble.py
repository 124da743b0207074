"""Bad places and bad stores: one line that names the thing and the way out, exit code 4, nothing lost."""

import ctypes
import os
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.command_line import LIMIT_SECONDS, PROGRAM, CommandLine, Ended

PR_CAPBSET_DROP = 24
OVERRIDING = (1, 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: what lets root ignore permissions


def told(ended: Ended, code: int, *words: str) -> None:
    assert ended.code == code, ended
    assert "Traceback" not in ended.out + ended.errors
    complaints = [line for line in ended.errors.splitlines() if line.startswith("handrail: ")]
    assert len(complaints) == 1, ended.errors
    for word in words:
        assert word in complaints[0]


def bound_by_permissions() -> None:
    """Have the process obey permissions even where tests run as root."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in OVERRIDING:
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def limited(handrail: CommandLine, before: Callable[[], None], *arguments: str) -> Ended:
    ended = subprocess.run(
        [*PROGRAM, *arguments],
        cwd=handrail.folder,
        env=handrail.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
        preexec_fn=before,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def database(handrail: CommandLine) -> Path:
    """The store of a home with one completed workflow and one that waits."""
    assert handrail("run", "--goal", "greet").code == 0
    assert handrail("run", "--goal", "asking").code == 3
    return handrail.home / "handrail.db"


@pytest.fixture
def read_only(database: Path) -> Iterator[Path]:
    home = database.parent
    everything = [home, *home.rglob("*")]
    modes = {path: path.stat().st_mode for path in everything}
    for path in reversed(everything):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield home
    for path, mode in modes.items():
        path.chmod(mode)


def change(database: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(statement, values)
    connection.close()


def test_a_read_only_home_refuses_what_would_change_it(handrail: CommandLine, read_only: Path) -> None:
    refused = limited(handrail, bound_by_permissions, "approve", "wf_002", "--by", "ann")
    told(refused, 4, ".handrail", "read-only")
    assert refused.out == ""


def test_a_read_only_home_can_be_looked_at(handrail: CommandLine, read_only: Path) -> None:
    listed = limited(handrail, bound_by_permissions, "list", "--json")
    assert [row["workflow_id"] for row in listed.document] == ["wf_001", "wf_002"]
    assert "may be behind" in listed.errors
    shown = limited(handrail, bound_by_permissions, "show", "wf_002")
    assert shown.lines[0] == "wf_002  blocked"
    assert limited(handrail, bound_by_permissions, "history", "wf_002").code == 0


def test_a_home_that_cannot_be_made(handrail: CommandLine) -> None:
    told(handrail("run", "--goal", "greet", "--home", "/proc/handrail"), 4, "/proc/handrail", "another --home")


def test_a_full_disk_loses_nothing(handrail: CommandLine, database: Path) -> None:
    room = 65_536  # for what SQLite writes beside the database before it is put into it
    assert database.stat().st_size > room

    def nearly_full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    goal = "stutter " * 1_000
    full = limited(handrail, nearly_full, "run", "--goal", goal, "--definition", "stutter", "--id", "late")
    told(full, 4, "handrail.db", "nothing was lost")
    assert [row["workflow_id"] for row in handrail("list", "--json").document][:2] == ["wf_001", "wf_002"]
    again = handrail("run", "--goal", goal, "--definition", "stutter", "--id", "late")
    assert again.code == 0, again
    assert handrail("approve", "wf_002", "--by", "ann").code == 0


def test_a_store_of_a_newer_version(handrail: CommandLine, database: Path) -> None:
    change(database, "PRAGMA user_version = 99")
    for arguments in (("list",), ("show", "wf_001"), ("run", "--goal", "greet"), ("resume",)):
        told(handrail(*arguments), 4, "newer")


def test_a_file_that_is_no_store(handrail: CommandLine, database: Path) -> None:
    database.write_bytes(b"not a database" * 1_000)
    told(handrail("list"), 4, "handrail.db")
    told(handrail("run", "--goal", "greet"), 4, "handrail.db")


def test_a_corrupt_event_stops_its_own_workflow_only(handrail: CommandLine, database: Path) -> None:
    statement = "UPDATE stored_events SET state = ? WHERE originator_id = 'wf_002' AND originator_version = 2"
    change(database, statement, b"torn")
    told(handrail("show", "wf_002"), 4, "workflow wf_002 event 2", "backup")
    told(handrail("approve", "wf_002", "--by", "ann"), 4, "workflow wf_002 event 2")
    assert handrail("run", "--goal", "greet").code == 0
    assert handrail("show", "wf_001").code == 0
    statuses = {row["workflow_id"]: row["status"] for row in handrail("list", "--json").document}
    assert statuses["wf_003"] == "completed"


def test_an_event_that_was_given_another_name(handrail: CommandLine, database: Path) -> None:
    change(
        database, "UPDATE stored_events SET topic = 'Marvel' WHERE originator_id = 'wf_002' AND originator_version = 2"
    )
    told(handrail("history", "wf_002"), 4, "workflow wf_002 event 2")


def test_a_backup_is_a_store(handrail: CommandLine, database: Path) -> None:
    copy = handrail.folder / "copy" / "handrail.db"
    copy.parent.mkdir()
    assert handrail("backup", str(copy)).code == 0
    told(handrail("backup", str(copy)), 2, "exists already")
    assert handrail("approve", "wf_002", "--by", "ann", "--home", str(copy.parent)).code == 0
    assert handrail("show", "wf_002", "--json").document["status"] == "blocked"
