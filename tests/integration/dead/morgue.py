"""What the tests of dead letters share: messages good and bad, published as any service would, and the command line."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aio_pika
from aiormq.abc import ChannelFrame
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.frame import marshal
from pamqp.header import ContentHeader

from domain.messages import bodies
from domain.messages.faults import outgoing_fault
from domain.messages.writing import outgoing_goal
from domain.transport import Delivery, Outgoing, Published
from producers.publisher import AmqpPublisher
from tests.integration.serving.deployment import Deployment, until
from tests.servers.rabbitmq import Login

GOALS = "handrail.goals"
DEAD_GOALS = "handrail.dead.goals"
DEAD_DEFAULT = "handrail.dead.activity.default"


@dataclass
class Morgue:
    """A deployment, and the operator who looks after its dead letters."""

    deployment: Deployment
    operator: Login

    def run(self, *arguments: str, login: Login | None = None, **environment: str) -> tuple[int, str, str]:
        """`handrail dead …` as the operator: exit code, stdout, stderr."""
        address = self.deployment.vhost.url_of(login or self.operator)
        ended = self.deployment.run("dead", *arguments, HANDRAIL_BROKER_OPERATOR=address, **environment)
        return ended.returncode, ended.stdout, ended.stderr

    def document(self, *arguments: str) -> Any:
        """What `handrail dead … --json` prints."""
        code, out, errors = self.run(*arguments, "--json")
        assert code == 0, (out, errors)
        return json.loads(out)

    def groups(self) -> dict[tuple[str, str], int]:
        """How many dead letters there are, by queue and fault."""
        return {(one["queue"], one["fault"]): one["count"] for one in self.document("list")["groups"]}

    def act(self, *arguments: str) -> list[dict[str, Any]]:
        """Replay or discard, which must succeed; what it prints."""
        code, out, errors = self.run(*arguments, "--by", "olga", "--reason", "mended", "--json")
        assert code == 0, (out, errors)
        return [json.loads(line) for line in out.splitlines()]

    def publish(self, *messages: Outgoing, login: Login | None = None) -> None:
        """Publish as a service; by default the goal service."""
        answers = asyncio.run(published(self.deployment.vhost.url_of(login or self.deployment.goal_service), messages))
        assert answers == [Published.CONFIRMED] * len(messages)

    def publish_bad(self, message_id: str, body: bytes = b"{", **changes: Any) -> None:
        """Publish as the goal service what our own publisher would never send: other properties than a goal's."""
        given = {
            "exchange": GOALS,
            "key": "goal",
            "message_id": message_id,
            "message_type": bodies.Goal.wire_type,
            "user_id": self.deployment.goal_service.name,
            "content_type": "application/json",
            "delivery_mode": 2,
            **changes,
        }
        url = self.deployment.vhost.url_of(given.pop("login", self.deployment.goal_service))
        asyncio.run(
            published_raw(url, body=body, **{name: value for name, value in given.items() if value is not None})
        )

    def depth(self, queue: str) -> int:
        """How many messages lie in a queue, those not counted that somebody holds."""
        return asyncio.run(count(self.deployment.vhost.url, queue))

    def wait_for(self, queue: str, messages: int) -> None:
        """Wait until so many lie in a queue."""
        until(lambda: self.depth(queue) == messages, lambda: f"{queue} has {self.depth(queue)}, not {messages}")


def goal(message_id: str, text: str = "greet", **given: Any) -> Outgoing:
    """A goal, as a service sends it."""
    return outgoing_goal(bodies.Goal(goal=text, **given), message_id=message_id)


def dead_goal(number: int, fault: str = "schema", body: bytes = b"{}") -> Outgoing:
    """A dead letter, as a consumer of goals buries it."""
    source = Delivery(GOALS, body, message_id=f"m-{number}", user_id="shop", exchange=GOALS, routing_key="goal")
    return outgoing_fault(source, fault=fault, reason="so it is", consumer="here", at=datetime(2030, 1, 2, tzinfo=UTC))


def ended(morgue: Morgue, name: str) -> None:
    """Wait until a workflow has completed."""
    store = morgue.deployment.store
    until(lambda: store.exists(name) and store.load(name).status == "completed", f"{name} never ended")


async def published(url: str, messages: Sequence[Outgoing]) -> list[Published]:
    publisher = AmqpPublisher(url, name="a service")
    await publisher.start()
    try:
        return await publisher.publish(messages)
    finally:
        await publisher.close()


async def published_raw(url: str, exchange: str, key: str, body: bytes, **properties: Any) -> None:
    connection = await aio_pika.connect(url)
    try:
        channel: Any = await (await connection.channel(publisher_confirms=False)).get_underlay_channel()
        # Frames of our own: the library gives an id to what has none.
        size = 100_000
        frames: list[Any] = [
            commands.Basic.Publish(exchange=exchange, routing_key=key),
            ContentHeader(0, len(body), commands.Basic.Properties(**properties)),
            *(ContentBody(body[start : start + size]) for start in range(0, len(body), size)),
        ]
        payload = b"".join(marshal(frame, channel.number) for frame in frames)
        await channel.write_queue.put(ChannelFrame(payload=payload, should_close=False))
        await channel.basic_qos(prefetch_count=1)  # its answer follows what came before
    finally:
        await connection.close()


async def count(url: str, queue: str) -> int:
    connection = await aio_pika.connect(url)
    try:
        channel = await (await connection.channel()).get_underlay_channel()
        return (await channel.queue_declare(queue, passive=True)).message_count or 0
    finally:
        await connection.close()


async def taken_and_dropped(url: str, queue: str) -> int:
    """Take what a queue has and lose the channel over it, until the broker gives it no more; how often it came."""
    times = 0
    connection = await aio_pika.connect(url)
    try:
        while True:
            channel = await connection.channel(publisher_confirms=False)
            got = await (await channel.get_queue(queue, ensure=False)).get(fail=False)
            await channel.close()
            if got is None:
                return times
            times += 1
    finally:
        await connection.close()
