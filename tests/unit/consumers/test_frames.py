"""Deliveries taken out of a stream: whole, whatever the pieces it comes in, and readable as far as can be."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.frame import marshal
from pamqp.header import ContentHeader

from consumers.frames import HEARTBEAT_FRAME, Address, Frames
from domain.transport import Delivery

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TABLE = {
    "text": "é",
    "yes": True,
    "small": -5,
    "large": 2**40,
    "real": 1.5,
    "none": None,
    "at": AT,
    "list": [1, "two", {"three": 3}],
    "table": {"in": {"side": "x"}},
}


def delivery_of(tag: int, body: bytes, *, channel: int = 1, pieces: int = 1, **properties: Any) -> bytes:
    """A delivery as the broker sends it."""
    step = max(1, -(-len(body) // pieces))
    frames = [
        marshal(commands.Basic.Deliver("tag", tag, tag % 2 == 0, "exchange", "key"), channel),
        marshal(ContentHeader(0, len(body), commands.Basic.Properties(**properties)), channel),
        *(marshal(ContentBody(body[at : at + step]), channel) for at in range(0, len(body), step)),
    ]
    return b"".join(frames)


class Ends:
    """Both ends of what the stream is cut into."""

    def __init__(self) -> None:
        self.delivered: list[tuple[Address, Delivery]] = []
        self.passed = b""
        self.frames = Frames(lambda address, delivery: self.delivered.append((address, delivery)), self.pass_on)

    def pass_on(self, data: bytes) -> None:
        self.passed += data


def read(data: bytes) -> Delivery:
    ends = Ends()
    assert not ends.frames.feed(data)
    [(_, delivery)] = ends.delivered
    return delivery


def test_everything_that_a_message_says_arrives() -> None:
    data = delivery_of(
        2, b"{}", content_type="application/json", content_encoding="none", headers=TABLE, delivery_mode=2, priority=4,
        correlation_id="wf", reply_to="nobody", expiration="1", message_id="m", timestamp=AT, message_type="t",
        user_id="u", app_id="a",
    )  # fmt: skip
    ends = Ends()
    ends.frames.feed(data)
    [(address, delivery)] = ends.delivered
    assert address == ("tag", 2, True, "exchange", "key")
    assert delivery == Delivery(
        "", b"{}", "m", "t", "u", "a", "wf", "application/json", "exchange", "key", TABLE, AT, redelivered=True
    )


def test_a_stream_in_pieces_says_the_same_and_other_frames_pass_as_they_came() -> None:
    others = [
        HEARTBEAT_FRAME,
        marshal(commands.Basic.ConsumeOk("tag"), 1),
        marshal(commands.Basic.Ack(7), 2),
        # A returned message has a header and a body too; they are the library's.
        marshal(commands.Basic.Return(312, "NO_ROUTE", "e", "k"), 3)
        + marshal(ContentHeader(0, 2, commands.Basic.Properties(message_id="r")), 3)
        + marshal(ContentBody(b"xx"), 3),
    ]
    for seed in range(100):
        chance = random.Random(seed)
        wanted: list[tuple[int, bytes]] = []
        data = b""
        passed = b""
        for tag in range(1, 15):
            body = chance.randbytes(chance.choice([0, 1, 200]))
            wanted.append((tag, body))
            other = chance.choice(others)
            data += other + delivery_of(tag, body, pieces=chance.randint(1, 4), message_id=f"m{tag}")
            passed += other
        ends = Ends()
        at = 0
        while at < len(data):
            step = chance.randint(1, 60)
            ends.frames.feed(data[at : at + step])
            at += step
        assert [(address.delivery_tag, delivery.body) for address, delivery in ends.delivered] == wanted, seed
        assert ends.passed == passed, seed


def test_deliveries_of_several_channels_may_be_interleaved() -> None:
    one, two = (
        [
            marshal(commands.Basic.Deliver("tag", tag, False, "", ""), tag),
            marshal(ContentHeader(0, 2, commands.Basic.Properties()), tag),
            marshal(ContentBody(b"%02d" % tag), tag),
        ]
        for tag in (1, 2)
    )
    ends = Ends()
    ends.frames.feed(b"".join(frame for pair in zip(one, two, strict=True) for frame in pair))
    assert [delivery.body for _, delivery in ends.delivered] == [b"01", b"02"]


@pytest.mark.parametrize(
    ("properties", "change", "expected"),
    [
        ({"message_id": "abcd"}, (b"abcd", b"a\xff\x00d"), {"message_id": "a\\xff\x00d"}),
        ({"headers": {"k": "abcd"}}, (b"abcd", b"\xff\xfe\xfd\xfc"), {"headers": {"k": "\\xff\\xfe\\xfd\\xfc"}}),
        ({"headers": {"a": 1, "k": True}, "app_id": "q"}, (b"\x01kt", b"\x01k?"), {"headers": {"a": 1}, "app_id": "q"}),
        (
            {"timestamp": AT, "app_id": "q"},
            (int(AT.timestamp()).to_bytes(8, "big"), b"\xff" * 8),
            {"timestamp": None, "app_id": "q"},
        ),
    ],
)
def test_what_cannot_be_read_spoils_nothing_else(
    properties: dict[str, Any], change: tuple[bytes, bytes], expected: dict[str, Any]
) -> None:
    data = delivery_of(1, b"body", **properties)
    assert change[0] in data
    delivery = read(data.replace(*change))
    assert {name: getattr(delivery, name) for name in expected} == expected
    assert delivery.body == b"body"


def test_a_table_that_is_nested_without_end_is_read_no_further() -> None:
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"t": deep}
    delivery = read(delivery_of(1, b"", headers={"about": 1, "deep": deep}, message_id="m"))
    assert delivery.headers == {"about": 1}
    assert delivery.message_id == "m"


def test_a_peer_that_speaks_something_else_is_left_to_the_library() -> None:
    ends = Ends()
    assert ends.frames.feed(b"AMQP\x00\x00\x09\x01")
    assert ends.frames.feed(b"more")
    assert ends.passed == b"AMQP\x00\x00\x09\x01more"
