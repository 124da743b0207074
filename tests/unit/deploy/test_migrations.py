"""Migrations are frozen: what stores have behind them is never edited."""

import hashlib
from typing import Final

import pytest

from deploy.migrations import MIGRATIONS, statements_of
from domain.store.migrations_postgres import Migration

FROZEN: Final = {
    1: "49911442a74b9bc46bf4f063281de97877e0e8ac7fcea5f80bebb34a11f6dbe1",
    2: "bcfbdf6874c7e12482de0ea75f5b3625a93b1914bcb825613dc69035ec725350",
    3: "18c6a602cbb4af4361f54036f91d6bdc0dd55ba9c057aaaa4f01633ba3b0b4e0",
    4: "b0a07a6903b80a9ebf4d2dca588d1984c05a665d08e4e87e3673568687c84993",
    5: "084088b0116e1abf059fa7e3bd36bf2364f187b9d5d8b81c0ec374dca526a229",
}
"""What each migration runs, as a digest. Add a line for a new one; never change a line: add a migration."""


def digest(migration: Migration) -> str:
    """Of what it runs, however it is laid out."""
    statements = [*migration.additive, "after", *migration.destructive]
    return hashlib.sha256("\n".join(" ".join(one.split()) for one in statements).encode()).hexdigest()


@pytest.mark.parametrize("migration", MIGRATIONS, ids=lambda one: str(one.number))
def test_what_a_migration_runs_never_changes(migration: Migration) -> None:
    assert digest(migration) == FROZEN[migration.number], "stores have had this migration: write another one behind it"


def test_all_of_a_migration_is_frozen() -> None:
    one = Migration(1, "one", ("CREATE TABLE a (b TEXT)",), ("DROP TABLE c",))
    others = [
        Migration(1, "one", ("CREATE TABLE a (b BIGINT)",), ("DROP TABLE c",)),
        Migration(1, "one", ("CREATE TABLE a (b TEXT)",), ("DROP TABLE d",)),
        Migration(1, "one", ("CREATE TABLE a (b TEXT)", "DROP TABLE c")),
    ]
    assert len({digest(one), *map(digest, others)}) == 4
    assert digest(Migration(2, "two", ("CREATE TABLE a\n   (b TEXT)",), ("DROP TABLE c",))) == digest(one)


def test_a_file_is_read_statement_by_statement() -> None:
    text = (
        "-- why; and what for;\n\nCREATE TABLE a (\n    b TEXT DEFAULT ';'\n);\n\n-- more\nCREATE INDEX c ON a (b);\n"
    )
    assert statements_of(text) == ("CREATE TABLE a (\n    b TEXT DEFAULT ';'\n)", "CREATE INDEX c ON a (b)")
    assert statements_of("SELECT 1;") == ("SELECT 1",)
