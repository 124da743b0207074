"""The services and people around the workflows: they ask, approve, send signals, settle; and say everything twice.

A broker's confirm is not acceptance: queues are purged and deleted. So each message is sent again, under the same
message id, until the store shows that it arrived. Besides, some are sent twice at once, some again when they have long
been decided on; and an administrator publishes step commands again, some at once and some much later.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from aio_pika.abc import AbstractIncomingMessage

from domain.ids import idempotency_key, workflow_id_from_message
from domain.messages import (
    Approval,
    ApprovalRequested,
    Goal,
    Signal,
    control_of,
    outgoing_approval,
    outgoing_control,
    outgoing_goal,
    outgoing_signal,
)
from domain.topology import GOALS_EXCHANGE
from domain.transport import Outgoing
from domain.triggers import SettleOutcome
from tests.chaos.line import Mouth, again
from tests.chaos.moments import called_within
from tests.chaos.plan import LONGEST_STOP_SECONDS
from tests.chaos.watch import Watch
from tests.chaos.workloads import SIGNAL
from tests.crash.books import receipt_for
from tests.crash.outside import Outside

ROUND_SECONDS: Final = 0.1
AGAIN_SECONDS: Final = 4.0
"""How long the store may take to show a message before it is sent again."""
SETTLE_SECONDS: Final = LONGEST_STOP_SECONDS + 2.0
"""How old an unknown outcome is before a person looks: what was stopped has gone on by then."""
MOST_A_ROUND: Final = 100
TWICE: Final = 0.25
"""How many messages are sent twice at once."""
LATER: Final = 0.1
"""How many are sent again when they have long been decided on."""
LATER_MESSAGES: Final = 300
APPROVER: Final = "alice"
OPERATOR: Final = "olga"


@dataclass
class Asked:
    """One goal: its workflow, and what asks for it."""

    workflow: str
    definition: str
    message: Outgoing
    sent_at: float = 0.0
    times: int = 0


@dataclass
class Said:
    """Something that is said until it shows."""

    message: Outgoing
    sent_at: float = 0.0


@dataclass
class Service:
    """All of them in one. `world` makes the outside of a workflow; `login` is the name that goals are sent under."""

    watch: Watch
    mouth: Mouth
    admin: Mouth
    world: Callable[[str], Outside]
    chance: random.Random
    goals: dict[str, Asked]
    most_open: int
    may_send: Callable[[], int]
    """How many goals may have been sent by now."""
    settle_seconds: float = SETTLE_SECONDS
    doubled: Counter[str] = field(default_factory=Counter)
    """How often something was sent once more than needed, by what it was."""
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._unsent = deque(self.goals.values())
        self._unseen: dict[str, Asked] = {}
        self._approvals: dict[str, Said] = {}
        self._settled: dict[str, Said] = {}
        self._signals: dict[str, Said] = {}
        self._later: deque[tuple[str, Outgoing]] = deque(maxlen=LATER_MESSAGES)

    @property
    def all_sent(self) -> bool:
        """Every goal has been sent once."""
        return not self._unsent

    @property
    def sent(self) -> int:
        """How many goals have been sent."""
        return len(self.goals) - len(self._unsent)

    @property
    def unsent(self) -> list[str]:
        """The workflows of the goals that have not been sent."""
        return [asked.workflow for asked in self._unsent]

    async def serve(self, over: asyncio.Event) -> None:
        """Do what is to be done, round by round, until it is over."""
        while not over.is_set():
            await self.watch.look()
            await self._ask()
            await self._repeat("approval", self._approvals, self.watch.seen.decided.__contains__)
            await self._signal()
            await self._settle()
            await self._say_old_things()
            await called_within(over, ROUND_SECONDS)

    # --- goals ------------------------------------------------------------------------------------------------------

    async def _ask(self) -> None:
        seen, now = self.watch.seen, time.monotonic()
        for workflow in [one for one in self._unseen if one in seen.begun]:
            asked = self._unseen.pop(workflow)
            self._keep("goal", asked.message)
        due = [asked for asked in self._unseen.values() if now - asked.sent_at > AGAIN_SECONDS]
        open_now = len(self._unseen) + sum(workflow not in seen.ended for workflow in seen.begun)
        room = min(MOST_A_ROUND, self.most_open - open_now, self.may_send() - self.sent)
        fresh = [self._unsent.popleft() for _ in range(min(max(room, 0), len(self._unsent)))]
        for asked in [*due, *fresh]:
            asked.sent_at = now
            asked.times += 1
            self._unseen[asked.workflow] = asked
        await self.mouth.say(self._some_twice("goal", [asked.message for asked in [*due, *fresh]]))

    # --- people -----------------------------------------------------------------------------------------------------

    async def approval_requested(self, message: AbstractIncomingMessage) -> None:
        """An approval is asked for: give it, or not."""
        request = ApprovalRequested.model_validate_json(message.body)
        if request.workflow_id in self._approvals or request.workflow_id not in self.goals:
            return
        approval = Approval(
            workflow_id=request.workflow_id,
            approval_id=request.approval_id,
            round=request.round,
            digest=request.digest,
            decision="reject" if request.definition == "chaos rejected" else "approve",
            decided_by=APPROVER,
            reason="looked at it",
        )
        message_id = f"decision/{request.workflow_id}/{request.approval_id}"
        said = Said(outgoing_approval(approval, message_id=message_id, definition=request.definition))
        self._approvals[request.workflow_id] = said

    async def _signal(self) -> None:
        seen = self.watch.seen
        for workflow in seen.begun:
            if workflow in seen.ended or workflow in self._signals or workflow not in self.goals:
                continue
            if self.goals[workflow].definition == "chaos signalled":
                signal = Signal(name=SIGNAL, correlation=workflow, payload={"at": "the counter"})
                self._signals[workflow] = Said(outgoing_signal(signal, message_id=f"paid/{workflow}"))
        await self._repeat("signal", self._signals, seen.ended.__contains__)

    async def _settle(self) -> None:
        seen, now = self.watch.seen, time.monotonic()
        for workflow, (version, since) in list(seen.unknown.items()):
            asked = self.goals.get(workflow)
            if asked is None or asked.definition != "chaos unprobed" or now - since < self.settle_seconds:
                continue
            name = f"{workflow}/{version}"
            if name not in self._settled:
                self._settled[name] = Said(await asyncio.to_thread(self._settlement, workflow, version))
        await self._repeat("control", self._settled, self._is_settled)

    def _is_settled(self, name: str) -> bool:
        workflow, _, version = name.partition("/")
        return self.watch.seen.unknown.get(workflow, (0, 0.0))[0] != int(version)

    def _settlement(self, workflow: str, version: int) -> Outgoing:
        """Look outside, and say what is true."""
        outside, key = self.world(workflow), idempotency_key(workflow, "wire", "run", 1)
        applied = outside.books().stands(key)
        if not applied:
            outside.find_absent(workflow, "wire", key)
        settle = SettleOutcome(
            step="wire",
            by=OPERATOR,
            reason="asked the bank",
            applied=applied,
            output={"receipt": receipt_for(key)} if applied else None,
        )
        return outgoing_control(control_of(workflow, settle), message_id=f"settle/{workflow}/{version}")

    # --- twice and late ---------------------------------------------------------------------------------------------

    async def command_seen(self, message: AbstractIncomingMessage) -> None:
        """A step command passed: an administrator publishes some of them again, at once or much later."""
        drawn = self.chance.random()
        if drawn < TWICE:
            self.doubled["command"] += await self.admin.say([again(message)])
        elif drawn < TWICE + LATER:
            self._later.append(("old command", again(message)))

    async def _repeat(self, what: str, said: dict[str, Said], shows: Callable[[str], bool]) -> None:
        """Say what is unsaid, and again what does not show."""
        now = time.monotonic()
        due: list[Outgoing] = []
        for name, one in list(said.items()):
            if one.sent_at and shows(name):
                if one.sent_at > 0:
                    self._keep(what, one.message)
                one.sent_at = -1.0
            elif one.sent_at >= 0 and now - one.sent_at > AGAIN_SECONDS:
                one.sent_at = now
                due.append(one.message)
        await self.mouth.say(self._some_twice(what, due))

    def _some_twice(self, what: str, messages: Iterable[Outgoing]) -> list[Outgoing]:
        sent: list[Outgoing] = []
        for message in messages:
            sent.append(message)
            if self.chance.random() < TWICE:
                self.doubled[what] += 1
                sent.append(message)
        return sent

    def _keep(self, what: str, message: Outgoing) -> None:
        """Keep some of what was decided on, to say it again later."""
        if self.chance.random() < LATER:
            self._later.append((f"old {what}", message))

    async def _say_old_things(self) -> None:
        """Now and then, say something again that was decided on long ago."""
        if not self._later or self.chance.random() > LATER * 5:
            return
        index = self.chance.randrange(len(self._later))
        what, message = self._later[index]
        del self._later[index]
        mouth = self.admin if what == "old command" else self.mouth
        self.doubled[what] += await mouth.say([message])


def asked_for(definitions: Iterable[str], login: str, seed: int) -> dict[str, Asked]:
    """The goals of a run, by the ids that their workflows will have."""
    found: dict[str, Asked] = {}
    for number, definition in enumerate(definitions):
        message_id = f"goal-{seed}-{number}"
        workflow = workflow_id_from_message(login, message_id)
        goal = Goal(goal=f"{definition} number {number}", definition=definition)
        found[workflow] = Asked(workflow, definition, outgoing_goal(goal, message_id=message_id))
    return found


def bad_goals(seed: int) -> list[Outgoing]:
    """Messages that nobody can read, and that are to end among the dead."""
    bodies = (b"\x00not json", json.dumps({"goal": 7}).encode(), b"[]", b'{"goal": "chaos nobody knows"}')
    goal = outgoing_goal(Goal(goal="x"), message_id="x")
    return [
        Outgoing(GOALS_EXCHANGE, goal.routing_key, f"bad-{seed}-{number}", goal.type, body)
        for number, body in enumerate(bodies)
    ]
