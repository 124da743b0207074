"""A broker that hands each message straight to the real intakes, over the store of a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from consumers.burial import Burial
from consumers.intake import MessageIntake
from consumers.receipts import Receipts
from consumers.sources import ApprovalSource, ControlSource, GoalSource
from deploy.beginning import GoalBeginning
from deploy.forking import check_fork
from deploy.held_goals import HeldGoals, forgetting
from deploy.runtime import Runtime, utc_now
from domain.authority import OperatingGrants, VouchingGrants
from domain.errors import BrokerUnavailable
from domain.store.aside import inline
from domain.topology import APPROVALS_EXCHANGE, CONTROL_EXCHANGE, DEAD_EXCHANGE, GOALS_EXCHANGE, GOALS_QUEUE
from domain.transport import Delivery, Outgoing, Published
from domain.triggers import ForkHere, Intervention

LOGIN = "desk"


class Loopback:
    """The port `Publisher`. It loses as many messages as it is told to, after confirming them."""

    def __init__(self, runtime: Runtime) -> None:
        self.sent: list[Outgoing] = []
        self.dead: list[Outgoing] = []
        self.losing = 0
        self.unreachable = 0
        self.answers: list[Published] = []
        turns = runtime._opened.turns

        async def definition_of(workflow_id: str) -> str:
            return runtime.store.load(workflow_id).definition

        async def sound(_: str, __: Intervention) -> None:
            return None

        async def complete(workflow_id: str, asked: ForkHere, receipt: str) -> ForkHere:
            return check_fork(runtime.definitions, runtime.store, workflow_id, asked, salt=receipt)

        sources: dict[str, Any] = {
            GOALS_EXCHANGE: GoalSource(
                turns,
                utc_now,
                beginning=GoalBeginning(runtime.definitions),
                vouching=VouchingGrants({LOGIN: ["*"]}),
            ),
            APPROVALS_EXCHANGE: ApprovalSource(
                turns, utc_now, definition_of=definition_of, vouching=VouchingGrants({LOGIN: ["*"]})
            ),
            CONTROL_EXCHANGE: ControlSource(
                turns,
                utc_now,
                definition_of=definition_of,
                operating=OperatingGrants({LOGIN: {"*": ["*"]}}),
                check_output=sound,
                complete_fork=complete,
            ),
        }
        receipts = Receipts(runtime.store, inline)
        burial = Burial(self, consumer="test", clock=utc_now)
        burial.buried = forgetting(HeldGoals(runtime.store), inline)
        self._intakes = {
            name: MessageIntake(source, receipts=receipts, burial=burial) for name, source in sources.items()
        }

    async def publish(self, messages: Sequence[Outgoing]) -> list[Published]:
        return [await self._one(message) for message in messages]

    async def _one(self, message: Outgoing) -> Published:
        if message.exchange == DEAD_EXCHANGE:
            self.dead.append(message)
            return Published.CONFIRMED
        self.sent.append(message)
        if self.unreachable:
            self.unreachable -= 1
            raise BrokerUnavailable("it is gone")
        if self.answers and (answer := self.answers.pop(0)) is not Published.CONFIRMED:
            return answer
        if self.losing:
            self.losing -= 1
            return Published.CONFIRMED
        delivery = Delivery(
            GOALS_QUEUE if message.exchange == GOALS_EXCHANGE else "queue",
            message.body,
            message.message_id,
            message.type,
            message.user_id or LOGIN,
            content_type="application/json",
            exchange=message.exchange,
            routing_key=message.routing_key,
        )
        await self._intakes[message.exchange]([delivery])
        return Published.CONFIRMED
