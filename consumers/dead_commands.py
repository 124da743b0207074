"""Step commands that the broker gave up, or that a consumer could not take: told to their workflows.

A dead queue of step commands is consumed: each becomes the trigger DeadLetterCommand, which tries the step again within
the bounds of its retry policy, and then asks for a person. It is acknowledged when that is in the store. One that was
handed over to a consumer in another language is taken back first: the broker has it no more, and nobody answers it.

What is no step command that was ever scheduled tells nobody anything, whoever wrote it: it is moved on to one parking
queue for all of them, with the reason that it came with, and stays there until a person looks.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from consumers.burial import Fault
from consumers.claims import Claims
from consumers.commands import Bury, read
from consumers.inbox import command_digest
from domain.errors import HandrailError, MessageUnfit, StoreError, StoreUnavailable
from domain.ids import Kind, epoch_of
from domain.messages.faults import read_dead_letter
from domain.messages.names import Fault as FaultName
from domain.ports import Aside, Clock, Command, Decider, Request
from domain.topology import COMMANDS_EXCHANGE
from domain.transport import Delivery
from domain.triggers import DeadLetterCommand

_log: Final = logging.getLogger("handrail.consumers")

_LIVE: Final = frozenset({"open", "handed_over"})

BROKER: Final = "broker"
"""The actor of what the broker gave up."""


@dataclass(slots=True)
class Dead:
    """A dead step command, read."""

    delivery: Delivery
    command: Command


class DeadCommandIntake:
    """The port `Intake` for the dead queues of the activity queues."""

    def __init__(self, *, claims: Claims, decider: Decider, clock: Clock, bury: Bury, aside: Aside) -> None:
        """`bury` moves on what is no command; `aside` runs what is asked of the store."""
        self.counts: Counter[str] = Counter()
        self._claims = claims
        self._decider = decider
        self._clock = clock
        self._bury = bury
        self._aside = aside

    async def __call__(self, deliveries: Sequence[Delivery], /) -> None:
        """Tell the workflows. Raises StoreUnavailable or BrokerUnavailable; then some are not settled."""
        faults: list[Fault] = []
        commands: list[Dead] = []
        for delivery in deliveries:
            try:
                commands.append(Dead(delivery, read(delivery)))
            except MessageUnfit as error:
                faults.append(_unreadable(delivery, error))
        trouble: StoreUnavailable | None = None
        try:
            faults += await self._tell(commands)
        except StoreUnavailable as error:
            trouble = error
        except StoreError as error:
            trouble = StoreUnavailable(str(error))
        if faults:
            self.counts["parked"] += len(faults)
            await self._bury(faults)
        if trouble is not None:
            raise trouble

    async def _tell(self, dead: Sequence[Dead]) -> list[Fault]:
        """Decide on them and acknowledge them; those that are no command that was ever scheduled are given back."""
        faults: list[Fault] = []
        told: list[Dead] = []
        rows = await self._aside(lambda: self._claims.scheduled([one.command.message_id for one in dead]))
        live = {name for name, row in rows.items() if row.state in _LIVE}
        over = any(one.command.message_id not in live for one in dead)
        epoch = await self._aside(self._claims.epoch) if over else 0
        for one in dead:
            row = rows.get(one.command.message_id)
            if one.command.message_id not in live and epoch_of(one.command.attempt) < epoch:
                words = "it was scheduled in a time that was lost when the store was put back from a backup"
                faults.append(_parked(one.delivery, FaultName.EPOCH_PASSED.value, words))
            elif row is None:
                words = "there is no command with this message id"
                faults.append(_parked(one.delivery, FaultName.COMMAND_UNKNOWN.value, words))
            elif row.digest is not None and row.digest != command_digest(one.command):
                words = "it says something else than was scheduled under its message id: somebody else wrote it"
                faults.append(_parked(one.delivery, FaultName.CONFLICT.value, words))
            elif row.state in _LIVE:
                told.append(one)
            else:
                self.counts["over"] += 1
                one.delivery.acknowledge()
        handed_over = [one.command.message_id for one in told if rows[one.command.message_id].state == "handed_over"]
        if handed_over:
            await self._aside(lambda: self._claims.take_back(handed_over))
        answers = await asyncio.gather(*[self._decide(one) for one in told], return_exceptions=True)
        trouble: BaseException | None = None
        for one, answer in zip(told, answers, strict=True):
            if isinstance(answer, HandrailError) and not isinstance(answer, StoreError):
                faults.append(_parked(one.delivery, FaultName.REFUSED.value, str(answer)))
            elif isinstance(answer, BaseException):
                trouble = answer
            else:
                self.counts["told"] += 1
                one.delivery.acknowledge()
        if trouble is not None:
            raise trouble
        return faults

    async def _decide(self, one: Dead) -> None:
        command, letter = one.command, read_dead_letter(one.delivery)
        trigger = DeadLetterCommand(
            step=command.step,
            kind=cast("Kind", command.kind),
            attempt=command.attempt,
            reason=f"{letter.fault}: {letter.reason}"[:2_000],
        )
        _log.warning("%s came back dead: %s", command.message_id, trigger.reason)
        await self._decider.decide(Request(command.workflow_id, trigger, self._clock(), command.message_id, BROKER))


def _unreadable(delivery: Delivery, error: MessageUnfit) -> Fault:
    """What is no command. Whoever could not read it first saw it as it came: a dead letter has other properties."""
    letter = read_dead_letter(delivery)
    if not letter.consumer:
        return _parked(delivery, error.fault, str(error))
    reason = f"{letter.reason} (it came from {letter.queue or delivery.queue})"
    return Fault(replace(delivery, queue=COMMANDS_EXCHANGE), letter.fault, reason)


def _parked(delivery: Delivery, fault: str, reason: str) -> Fault:
    """What is no command, on its way to the parking queue of them all; whatever was said of it before stays."""
    letter = read_dead_letter(delivery)
    said = f" ({letter.fault}: {letter.reason}; it came from {letter.queue or delivery.queue})"
    return Fault(replace(delivery, queue=COMMANDS_EXCHANGE), fault, f"{reason}{said}")
