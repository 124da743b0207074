"""Starts a workflow with aio-pika alone: python goal_publisher.py MESSAGE_ID GOAL [INPUT].

MESSAGE_ID is yours: an order number, say. Sent again it is a repeat, and starts nothing. INPUT is a JSON object. Where
the broker is comes from AMQP_URL: amqp://login:password@host:port/vhost. Prints the workflow's id, which follows from
your login and the message id. (With Handrail installed, `handrail.Client` does the same in one line.)
"""

# ruff: noqa: INP001 - a program by itself, beside programs in other languages

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import sys
from urllib.parse import unquote, urlsplit

import aio_pika

TRIES = 10
# Login, right, exchange or virtual host: that stays until a person changes something.
REFUSED = (
    aio_pika.exceptions.AuthenticationError,
    aio_pika.exceptions.ProbableAuthenticationError,
    aio_pika.exceptions.ChannelClosed,
)


def workflow_id_of(login: str, message_id: str) -> str:
    """The id of the workflow that a goal starts: anybody may derive it, so nobody need wait for an answer."""
    digest = hashlib.sha256(f"goal\x1f{login}\x1f{message_id}".encode()).digest()
    return f"wf_{base64.b32encode(digest).decode().lower()[:26]}"


async def send(url: str, login: str, message_id: str, body: bytes) -> None:
    """Publish once; raises where the broker does not confirm, or where no queue takes the message."""
    connection = await aio_pika.connect(url, timeout=10)
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange("handrail.goals", ensure=False)
        message = aio_pika.Message(
            body,
            message_id=message_id,
            user_id=login,  # the broker refuses any other login than the one that connects
            type="handrail.goal.start.v1",
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await exchange.publish(message, routing_key="goal", mandatory=True, timeout=10)


async def main(message_id: str, goal: str, given: str = "{}") -> None:
    """Send until it is confirmed: a repeat does no harm."""
    url = os.environ.get("AMQP_URL") or sys.exit("set AMQP_URL to amqp://login:password@host:port/vhost")
    login = unquote(urlsplit(url).username or "guest")
    body = json.dumps({"goal": goal, "input": json.loads(given)}).encode()
    for attempt in range(1, TRIES + 1):
        try:
            await send(url, login, message_id, body)
            break
        except REFUSED as error:
            sys.exit(f"the broker refuses: {error}. See login, password and virtual host in AMQP_URL, and the rights")
        except (aio_pika.exceptions.AMQPError, OSError, TimeoutError) as error:
            if attempt == TRIES:
                raise
            sys.stderr.write(f"not confirmed ({error}): sending it again\n")
            await asyncio.sleep(min(10.0, 0.2 * 2**attempt))
    sys.stdout.write(f"{workflow_id_of(login, message_id)}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
