"""Which process does what only one is to do at a time: relaying, timing, projecting.

An optimisation only: two that both believe to lead waste work and harm nothing, because positions move by
compare-and-set, claims are rows, and decisions are made on versions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

Role = Callable[[], Awaitable[None]]
"""What runs while a process leads; it is cancelled when it leads no longer."""


class Leadership(Protocol):
    """Lets one process at a time play a role, as long as it can be known to."""

    async def lead(self, name: str, role: Role) -> None:
        """Run `role` whenever this process leads `name`, until cancelled.

        The role is cancelled at once when leading may be over, and run again when it is had again; also where it ends
        or fails by itself, after a pause in which another process may take it.
        """
        ...


class Locks(Protocol):
    """Names of which each is held by one connection to the store at a time."""

    async def connect(self) -> None:
        """Open a connection that holds nothing yet; raises StoreUnavailable."""
        ...

    async def try_acquire(self, names: Collection[str]) -> frozenset[str]:
        """Take those of the names that nobody holds; raises StoreUnavailable where the connection is lost.

        Without names it only makes sure that the connection answers.
        """
        ...

    async def release(self, name: str) -> None:
        """Let go of a name; raises StoreUnavailable where the connection is lost."""
        ...

    async def watch(self, seconds: float) -> None:
        """Return after so long; raise StoreUnavailable as soon as the connection is seen to be lost."""
        ...

    async def close(self) -> None:
        """Close the connection, which lets go of everything."""
        ...
