"""Many rows as few statements, whatever may meet stays in its order; and `?` as PostgreSQL reads it."""

import pytest

from domain.store.batches_postgres import is_insert, several
from domain.store.wire_postgres import translated

INSERT = "INSERT INTO pets (name, age) VALUES (?, ?)"
UPSERT = f"{INSERT} ON CONFLICT (name) DO UPDATE SET age = excluded.age"
DELETE = "DELETE FROM pets WHERE name = ?"


def rows(count: int) -> list[tuple[str, int]]:
    return [(f"pet {number}", number) for number in range(count)]


@pytest.mark.parametrize("statement", [INSERT, UPSERT, f"{INSERT} ON CONFLICT DO NOTHING", f"{INSERT} RETURNING age"])
@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (3, [1, 1, 1]), (21, [16, 4, 1]), (130, [64, 64, 1, 1])])
def test_rows_go_together(statement: str, count: int, sizes: list[int]) -> None:
    parts = list(several(statement, rows(count)))
    assert [part.count("(?, ?)") for part, _ in parts] == sizes
    assert [value for _, values in parts for value in values] == [value for row in rows(count) for value in row]
    tail = statement.removeprefix(INSERT)
    assert all(part.endswith(f"(?, ?){tail}") for part, _ in parts)


def test_an_upsert_that_meets_itself_goes_one_by_one() -> None:
    """PostgreSQL refuses to change a row twice in one statement."""
    given = [*rows(20), ("pet 3", 99)]
    assert list(several(UPSERT, given)) == [(UPSERT, row) for row in given]


def test_what_is_no_insert_goes_one_by_one() -> None:
    given = [("a",), ("b",)]
    assert list(several(DELETE, given)) == [(DELETE, row) for row in given]
    assert [is_insert(one) for one in (INSERT, UPSERT, DELETE)] == [True, True, False]


def test_question_marks_become_numbers_outside_of_quotes() -> None:
    statement = "SELECT 'why?', 'it''s ?' WHERE a = ? AND b LIKE '%?' AND c = ?"
    assert translated(statement) == b"SELECT 'why?', 'it''s ?' WHERE a = $1 AND b LIKE '%?' AND c = $2"
