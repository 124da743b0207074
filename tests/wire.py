"""Holds messages to the contract that other services are given: every message that the tests send is looked at.

`checked(publisher)` stands before any publisher, and `watching_the_wire(monkeypatch)` before all of them in this
process: what does not fit `deploy/asyncapi/handrail.asyncapi.json` raises ContractBroken where it is sent. Dead letters
and what a test spoils on purpose are none of the contract's business: they go to `handrail.dead`, or past a publisher.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import jsonschema
import pytest

from deploy.contract import CHECKED_IN
from domain.topology import DEAD_EXCHANGE
from domain.transport import Outgoing, Published, Publisher
from producers.publisher import AmqpPublisher

FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def is_instant(value: object) -> bool:
    """The library leaves this format to a package of its own."""
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


SEEN: Counter[str] = Counter()
"""How many messages of each type were looked at in this process."""


class ContractBroken(AssertionError):
    """A message is not what other services are told."""


@dataclass(frozen=True)
class Promise:
    """What the contract says of one type of message: where it goes, and what it holds."""

    exchange: str
    key: re.Pattern[str]
    most_bytes: int
    properties: Mapping[str, Any]
    headers: Mapping[str, Any]
    payload: Mapping[str, Any]


@cache
def document() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(CHECKED_IN.read_text(encoding="utf-8"))
    return read


@cache
def promises() -> dict[str, Promise]:
    """By the `type` property."""
    found: dict[str, Promise] = {}
    for channel in document()["channels"].values():
        key = "".join(
            "[^.].*" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{\w+\})", channel["address"])
        )
        for name in channel["messages"]:
            message = document()["components"]["messages"][name]
            found[message["name"]] = Promise(
                exchange=channel["bindings"]["amqp"]["exchange"]["name"],
                key=re.compile(key),
                most_bytes=message["x-body-bytes"],
                properties=message["x-amqp-properties"],
                headers=message["headers"],
                payload=message["payload"],
            )
    return found


def check(message: Outgoing, *, user_id: str | None = None) -> None:
    """Raise ContractBroken where a message is not what the contract says; `user_id` is the publisher's login."""
    promise = promises().get(message.type)
    if promise is None:
        raise ContractBroken(f"the contract knows no message of type {message.type!r}")
    if message.exchange != promise.exchange or promise.key.fullmatch(message.routing_key) is None:
        raise ContractBroken(f"{message.type} does not go to {message.exchange!r} under {message.routing_key!r}")
    if len(message.body) > promise.most_bytes:
        raise ContractBroken(f"{message.type} has {len(message.body)} bytes, at most {promise.most_bytes}")
    said = {
        "message_id": message.message_id,
        "type": message.type,
        "user_id": message.user_id or user_id,
        "correlation_id": message.correlation_id or None,
    }
    properties = {name: value for name, value in said.items() if value is not None}
    for what, schema, value in (
        ("properties", promise.properties, properties),
        ("headers", promise.headers, dict(message.headers)),
        ("body", promise.payload, json.loads(message.body)),
    ):
        _hold(f"{message.type}: {what}", schema, value)
    unknown = message.headers.keys() - promise.headers["properties"].keys()
    if unknown:
        raise ContractBroken(f"{message.type}: the contract knows no headers {sorted(unknown)}")
    SEEN[message.type] += 1


def _hold(what: str, schema: Mapping[str, Any], value: Any) -> None:
    whole = {**schema, "components": document()["components"]}
    validator = jsonschema.Draft202012Validator(whole, format_checker=FORMATS)
    fault = next(iter(validator.iter_errors(value)), None)
    if fault is not None:
        raise ContractBroken(f"{what}: {'/'.join(map(str, fault.absolute_path))}: {fault.message[:500]}")


class CheckedPublisher:
    """The port `Publisher`: what passes has been looked at."""

    def __init__(self, publisher: Publisher, *, user_id: str | None = "somebody") -> None:
        self._publisher = publisher
        self._user_id = user_id

    async def publish(self, messages: Sequence[Outgoing]) -> list[Published]:
        check_all(messages, user_id=self._user_id)
        return await self._publisher.publish(messages)


def checked(publisher: Publisher) -> CheckedPublisher:
    return CheckedPublisher(publisher)


def check_all(messages: Sequence[Outgoing], *, user_id: str | None) -> None:
    for message in messages:
        if message.exchange != DEAD_EXCHANGE:
            check(message, user_id=user_id)


_PUBLISH = AmqpPublisher.publish
"""As it is while nobody watches."""


async def publish_off_the_contract(publisher: AmqpPublisher, messages: Sequence[Outgoing]) -> list[Published]:
    """Publish what keeps no contract, on purpose, also where the wire is watched."""
    return await _PUBLISH(publisher, messages)


def watching_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at whatever any AmqpPublisher of this process publishes, until the test is over."""
    publish = AmqpPublisher.publish

    async def looked_at(self: AmqpPublisher, messages: Sequence[Outgoing]) -> list[Published]:
        check_all(messages, user_id=self.address.login)
        return await publish(self, messages)

    monkeypatch.setattr(AmqpPublisher, "publish", looked_at)
