"""A store file that was made before a table grew gets the columns it lacks, and keeps its rows."""

from pathlib import Path

from tests.databases import open_recorder

BEFORE = "CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY)"
AFTER = "CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, text TEXT, size BIGINT)"
INDEX = "CREATE INDEX IF NOT EXISTS notes_by_size ON notes (size)"


def test_columns_that_came_later_are_added_before_what_stands_on_them(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    older = open_recorder(path)
    older.prepare([BEFORE])
    with older.transaction() as cursor:
        cursor.execute("INSERT INTO notes (name) VALUES ('kept')")
    older.close()
    for _ in range(2):
        newer = open_recorder(path)
        newer.prepare([AFTER, INDEX])
        assert newer.query("SELECT name, text, size FROM notes") == [("kept", None, None)]
        newer.close()
