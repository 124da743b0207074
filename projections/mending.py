"""Changing the views' rows beside the projector: it is held up meanwhile, and begins again from what is in the store.

Whoever changes rows holds the views' position for as long as the transaction lasts, so that rows and position belong
together whatever else happens. The projector has rows in memory that would be written over the changed ones: afterwards
its next write fails, and it reads anew.
"""

from __future__ import annotations

from domain.ports import Cursor
from projections.schema import MENDED, POSITION


def hold_position(cursor: Cursor) -> int:
    """The views' position, which nobody else moves before this transaction is over."""
    # The row is made where it is missing: what is not there cannot be held.
    ((position,),) = cursor.query(
        "INSERT INTO positions (name, position) VALUES (?, 0) "
        "ON CONFLICT (name) DO UPDATE SET position = positions.position RETURNING position",
        (POSITION,),
    )
    return int(position)


def tell_projector(cursor: Cursor, position: int) -> None:
    """Have whoever keeps the views begin again: rows that it has at hand are not those in the store any more."""
    # One that waits for the row just now looks at that row again, and at no other. So it gets a new one.
    cursor.execute("DELETE FROM positions WHERE name = ?", (POSITION,))
    cursor.execute("INSERT INTO positions (name, position) VALUES (?, ?)", (POSITION, position))
    cursor.execute(
        "INSERT INTO positions (name, position) VALUES (?, 1) "
        "ON CONFLICT (name) DO UPDATE SET position = positions.position + 1",
        (MENDED,),
    )
