"""Step commands on the broker: the relay's way out where consumers are processes of their own.

Each is published mandatory and confirmed by itself, so that a queue which is full or bound to nothing stops only its
own. A command for a consumer in another language is noted as handed over once the broker has it: nobody claims it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from domain.faultpoints import reached
from domain.messages.writing import outgoing_command
from domain.ports import Command, NotSent
from domain.transport import Published, Publisher

HandOver = Callable[[Sequence[str]], Awaitable[None]]
"""Notes of these commands that the broker has them, and that nobody will claim them."""


class BrokerSender:
    """The port `CommandSender` over a publisher.

    `foreign` says whether a command's consumer is written in another language and holds no claim; `handed_over` hears
    of those once the broker has them.
    """

    def __init__(
        self,
        publisher: Publisher,
        *,
        foreign: Callable[[Command], bool] = lambda _: False,
        handed_over: HandOver | None = None,
    ) -> None:
        """Send through this publisher."""
        self._publisher = publisher
        self._foreign = foreign
        self._handed_over = handed_over

    async def send(self, commands: Sequence[Command]) -> Sequence[NotSent]:
        """Publish them all at once; those that the broker has not confirmed, and why.

        Raises BrokerError where there is no broker, StoreUnavailable where what was handed over cannot be noted: then
        all of them are to be sent again, which is harmless.
        """
        reached("publish.before")
        answers = await self._publisher.publish([outgoing_command(command) for command in commands])
        reached("publish.after")
        not_sent: list[NotSent] = []
        foreign: list[str] = []
        for command, answer in zip(commands, answers, strict=True):
            if answer is not Published.CONFIRMED:
                not_sent.append(NotSent(command.message_id, f"queue {command.queue!r}: {answer.value}"))
            elif self._foreign(command):
                foreign.append(command.message_id)
        if foreign and self._handed_over is not None:
            await self._handed_over(foreign)
        return not_sent
