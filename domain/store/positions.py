"""How far each follower of the log has come, and how that moves: by compare-and-set, with the rows it stands for.

A follower that finds its position elsewhere than it left it is not the only one: it rolls back, and steps down.
"""

from __future__ import annotations

from typing import Final

from domain.errors import FenceMissed
from domain.ports import Cursor

_AND_ALSO: Final = " AND NOT EXISTS (SELECT 1 FROM positions AS also WHERE also.name = ? AND also.position <> ?)"


class MovePosition:
    """Statements to run along: the position of `name` goes from `before` to `after`, or the transaction fails."""

    def __init__(self, name: str, before: int, after: int, *, also: tuple[str, int] | None = None) -> None:
        """`before` is where the batch was read from; 0 where there is no position yet.

        `also` is another position that has to be where it was, with its name; 0 where there is none yet.
        """
        self._name = name
        self._before = before
        self._after = after
        self._and = "" if also is None else _AND_ALSO
        self._with: tuple[str | int, ...] = also or ()

    def run(self, cursor: Cursor) -> None:
        """Raise FenceMissed where the position is not where it was left."""
        moved = cursor.execute(
            f"UPDATE positions SET position = ? WHERE name = ? AND position = ?{self._and}",
            (self._after, self._name, self._before, *self._with),
        )
        if moved == 0 and self._before == 0:
            moved = cursor.execute(
                "INSERT INTO positions (name, position) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
                (self._name, self._after),
            )
        if moved != 1:
            raise FenceMissed(
                f"position {self._name!r} is no longer at {self._before}: another process moved it; this one steps down"
            )


def position_of(cursor: Cursor, name: str) -> int:
    """The position of `name`; 0 where it has none yet."""
    rows = cursor.query("SELECT position FROM positions WHERE name = ?", (name,))
    return int(rows[0][0]) if rows else 0
