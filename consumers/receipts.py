"""Which messages were received before: the inbox's `done` rows, read for a whole turn at once."""

from __future__ import annotations

from collections.abc import Iterable

from consumers.inbox import in_chunks
from domain.ports import Aside, Transactions


class Receipts:
    """Reads receipts, without holding up the event loop."""

    def __init__(self, store: Transactions, aside: Aside) -> None:
        """`aside` runs the reading."""
        self._store = store
        self._aside = aside

    async def digests(self, receipt_ids: Iterable[str]) -> dict[str, str]:
        """The digest of each of these messages that was received before. Raises StoreUnavailable."""
        wanted = list(receipt_ids)
        return await self._aside(lambda: self._read(wanted)) if wanted else {}

    def _read(self, receipt_ids: Iterable[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for chunk, places in in_chunks(receipt_ids):
            statement = f"SELECT message_id, digest FROM inbox WHERE message_id IN ({places})"  # noqa: S608 - fixed parts
            found.update((row[0], row[1] or "") for row in self._store.query(statement, chunk))
        return found
