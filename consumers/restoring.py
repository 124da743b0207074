"""What a restore does to the inbox: no command that was scheduled before the backup was put back is run any more."""

from __future__ import annotations

from typing import Final

from domain.ports import Cursor, Transactions

_LIVE: Final = "state IN ('open', 'claimed', 'handed_over')"


class RevokeAll:
    """Statements that revoke every live command; each workflow schedules anew what it wants to run."""

    def run(self, cursor: Cursor) -> None:
        """Revoke them."""
        cursor.execute(f"UPDATE inbox SET state = 'revoked' WHERE {_LIVE}")  # noqa: S608 - fixed parts


def live_claims(store: Transactions) -> int:
    """How many claims have not run out by the database's clock: somebody may be at work on them."""
    with store.reading() as cursor:
        now = cursor.now()
        ((count,),) = cursor.query("SELECT count(*) FROM inbox WHERE state = 'claimed' AND lease_until > ?", (now,))
    return int(count)
