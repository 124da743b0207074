"""`handrail projections` on a home: the status, what differs, what is mended; killed anywhere it changes nothing."""

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest

from tests.integration.command_line import CommandLine

GOAL = "vendor onboarding review"
TABLES = ("workflows", "steps", "waits", "attempts", "failures", "parked_views", "tallies")


@contextlib.contextmanager
def database(handrail: CommandLine) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(handrail.home / "handrail.db")) as connection:
        yield connection
        connection.commit()


def change(handrail: CommandLine, *statements: str) -> None:
    with database(handrail) as connection:
        for statement in statements:
            connection.execute(statement)


def rows(handrail: CommandLine) -> dict[str, list[tuple[object, ...]]]:
    with database(handrail) as connection:
        connection.execute("UPDATE workflows SET look_at = NULL")
        found = {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for name in TABLES}
        connection.rollback()
        return found


@pytest.fixture
def waiting(handrail: CommandLine) -> CommandLine:
    """A home with one workflow that waits for a person."""
    assert handrail("run", "--goal", GOAL).code == 3
    return handrail


def test_the_status_says_how_far_and_how_much(waiting: CommandLine) -> None:
    found = waiting("projections", "status", "--json").document
    assert found["position"] == found["newest"] > 0
    assert (found["lag_events"], found["lag_seconds"], found["parked"]) == (0, 0, [])
    assert found["rows"]["workflows"] == 1
    change(waiting, "UPDATE positions SET position = position - 2 WHERE name = 'views-2'")
    change(waiting, "INSERT INTO parked_views VALUES ('wf_001', 3, 'torn')")
    said = waiting("projections", "status")
    assert said.code == 0
    assert "2 events," in said.out
    assert "parked: wf_001 at event 3: torn" in said.out


def test_what_differs_is_named_and_mended(waiting: CommandLine) -> None:
    assert waiting("projections", "verify", "all").code == 0
    right = rows(waiting)
    change(waiting, "UPDATE steps SET worker = 'nobody'", "DELETE FROM waits")
    found = waiting("projections", "verify", "all", "--json")
    assert found.code == 1
    assert found.document["differing"].keys() == {"steps", "waits"}
    assert {one["how"] for one in found.document["rows"]} == {"differs in worker", "is lacking"}
    said = waiting("projections", "rebuild", "all")
    assert said.code == 0
    assert "they are mended" in said.lines[-1]
    assert rows(waiting) == right
    assert waiting("projections", "verify", "all").code == 0


def test_killed_at_every_commit_it_leaves_whole_views(waiting: CommandLine) -> None:
    right = rows(waiting)
    change(waiting, "UPDATE steps SET worker = 'nobody'")
    wrong = rows(waiting)
    seen = []
    for point in ("project.before", "project.after"):
        for hit in range(1, 100):
            change(waiting, "UPDATE steps SET worker = 'nobody'")
            ended = waiting("projections", "rebuild", "all", HANDRAIL_FAULT_POINT=f"{point}:{hit}")
            now = rows(waiting)
            assert now in (wrong, right), (point, hit)
            if ended.code == 0:
                assert now == right
                break
            seen.append(now == right)
    assert {True, False} == set(seen), "killed before what mends, and behind it"
    change(waiting, "UPDATE steps SET worker = 'nobody'")
    assert waiting("projections", "rebuild", "all").code == 0
    assert rows(waiting) == right
    with database(waiting) as connection:
        for name in TABLES:
            assert connection.execute(f"SELECT count(*) FROM shadow_{name}").fetchone() == (0,)


def test_what_is_parked_is_taken_up_again(waiting: CommandLine) -> None:
    right = rows(waiting)
    change(waiting, "INSERT INTO parked_views VALUES ('wf_001', 3, 'torn')", "DELETE FROM steps")
    assert waiting("projections", "retry", "--all", "--json").document == {"folded": ["wf_001"], "parked": {}}
    assert rows(waiting) == right
    assert waiting("projections", "retry", "--all").out == "nothing is parked\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("verify", "nothing"), "there is no view 'nothing': choose of"),
        (("retry",), "or say --all"),
        (("retry", "wf_001", "--all"), "and not both"),
        (("retry", "wf_001"), "is not parked"),
    ],
)
def test_what_does_not_fit_is_refused(waiting: CommandLine, arguments: tuple[str, ...], words: str) -> None:
    refused = waiting("projections", *arguments)
    assert refused.code == 2
    assert words in refused.errors
