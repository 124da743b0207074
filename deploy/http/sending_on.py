"""Sends held goals on their way again: what the HTTP endpoint promised, kept by whichever of its processes lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from consumers.receipts import Receipts
from deploy.held_goals import GIVEN_UP_AFTER, HeldGoal, HeldGoals
from domain.errors import BrokerError, StoreError
from domain.faultpoints import reached
from domain.ports import Aside, Transactions
from domain.transport import Published, Publisher

_log: Final = logging.getLogger("handrail.http")

LOOK_SECONDS: Final = 10.0
"""How often a process looks for goals to send."""
GOALS_AT_ONCE: Final = 20
"""Each may have a megabyte."""
BROKER_AWAY_SECONDS: Final = 30.0
"""When a goal is tried again that no broker was there for."""


class SendingOn:
    """Sends the held goals of one login over one publisher."""

    def __init__(self, store: Transactions, publisher: Publisher, *, login: str, aside: Aside) -> None:
        """`login` is whom the broker knows the publisher as; `aside` runs the store's work."""
        self._held = HeldGoals(store)
        self._receipts = Receipts(store, aside)
        self._publisher = publisher
        self._login = login
        self._aside = aside

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        while True:
            try:
                while await self.once():
                    pass
            except (StoreError, BrokerError) as error:
                _log.warning("held goals are sent later: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def once(self) -> int:
        """Send a few that are due; how many were looked at. Raises StoreError, BrokerError."""
        taken = await self._aside(lambda: self._held.take(self._login, GOALS_AT_ONCE))
        if not taken:
            return 0
        received = await self._receipts.digests(goal.receipt for goal in taken)
        over = [goal for goal in taken if goal.receipt in received or goal.is_too_old]
        for goal in over:
            _tell_end(goal, received.get(goal.receipt))
        if over:
            await self._aside(lambda: self._held.forget(over))
        sending = [goal for goal in taken if goal not in over]
        if sending:
            await self._send(sending)
        return len(taken)

    async def _send(self, goals: Sequence[HeldGoal]) -> None:
        try:
            reached("publish.before")
            answers = await self._publisher.publish([goal.message for goal in goals])
            reached("publish.after")
        except BrokerError:
            await self._aside(lambda: self._held.put_back(goals, seconds=BROKER_AWAY_SECONDS))
            raise
        for goal, answer in zip(goals, answers, strict=True):
            how = "sent again" if answer is Published.CONFIRMED else f"sent again later ({answer.value})"
            _log.warning(
                "goal %s has not begun yet: it is %s", goal.message_id, how, extra={"message_id": goal.message_id}
            )


def _tell_end(goal: HeldGoal, received: str | None) -> None:
    """Say why a goal is sent no more, where that is no good reason."""
    about = {"message_id": goal.message_id}
    if received is None:
        _log.warning(
            "goal %s is sent no more: it has not begun within %d days; `handrail dead list` may say why",
            goal.message_id,
            GIVEN_UP_AFTER.days,
            extra=about,
        )
    elif received != goal.digest:
        _log.warning("goal %s is sent no more: its message id was used for another body", goal.message_id, extra=about)
