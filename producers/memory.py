"""The in-memory transport's sending end: hands step commands to the consumer of the same process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from domain.faultpoints import reached
from domain.ports import Command, NotSent

Put = Callable[[Sequence[Command]], int]
"""Takes commands in; says how many of them, from the first on."""


class MemorySender:
    """The port `CommandSender` within one process. What the other end has no room for stays open in the inbox."""

    def __init__(self, put: Put) -> None:
        """Send to this end."""
        self._put = put

    async def send(self, commands: Sequence[Command]) -> Sequence[NotSent]:
        """Hand commands over; those that there is no room for are issued again when there is, so none is parked."""
        self.hand_over(commands)
        return ()

    def hand_over(self, commands: Sequence[Command]) -> Sequence[Command]:
        """Hand commands over; those that were taken."""
        reached("publish.before")
        taken = self._put(commands)
        reached("publish.after")
        return commands[:taken]
