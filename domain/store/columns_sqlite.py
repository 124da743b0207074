"""What a store file lacks of tables that have grown since it was made: columns at their ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence


def lacking_columns(connection: sqlite3.Connection, schema: Sequence[str]) -> Iterator[str]:
    """Statements that add the columns which tables of the schema have and those of the file do not.

    A column that comes later must be one that a row can be without: SQLite refuses to add others.
    """
    with_all = sqlite3.connect(":memory:")
    try:
        for statement in schema:
            with_all.execute(statement)
        tables = [name for (name,) in with_all.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            known = {name for name, _ in _columns(connection, table)}
            if not known:
                continue  # the whole table is to be made
            yield from (
                f"ALTER TABLE {table} ADD COLUMN {name} {kind}"
                for name, kind in _columns(with_all, table)
                if name not in known
            )
    finally:
        with_all.close()


def _columns(connection: sqlite3.Connection, table: str) -> list[tuple[str, str]]:
    return [(name, kind) for name, kind in connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,))]
