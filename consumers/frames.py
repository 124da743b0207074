"""Deliveries, taken out of the stream of AMQP 0-9-1 frames before the library sees it.

For two reasons. A message whose properties cannot be read (text that is not UTF-8, a date beyond all calendars, a type
of value that nobody knows) makes the library close the connection, with the deliveries of everybody on it; and again
when it comes again, until the broker counts the innocent as delivered too often. Here such a property is read as far as
it can be, so that its Intake can say what is wrong with it. And a delivery costs a fifth of what it costs there.

Only the frames of deliveries are read here; all others are passed on as they came. Source of the wire's form: AMQP
0-9-1, sections 2.3 and 4.2, with RabbitMQ's table of field types (https://www.rabbitmq.com/amqp-0-9-1-errata).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from domain.transport import Delivery

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
HEARTBEAT: Final = 8
END: Final = 0xCE
HEARTBEAT_FRAME: Final = bytes((HEARTBEAT, 0, 0, 0, 0, 0, 0, END))
DELIVER: Final = (60, 60)
TABLES_WITHIN_TABLES: Final = 16
"""How deep a header may be nested: beyond that it is an attack on the reader's stack."""

_MILLISECONDS_FROM: Final = 0xFFFF_FFFF
_frame: Final = struct.Struct(">BHI")
_method: Final = struct.Struct(">HH")
_tag: Final = struct.Struct(">QB")
_header: Final = struct.Struct(">HHQH")
_short: Final = struct.Struct(">H")
_long: Final = struct.Struct(">I")
_long_long: Final = struct.Struct(">Q")

_CONTENT_TYPE, _ENCODING, _HEADERS, _MODE, _PRIORITY, _CORRELATION = 0x8000, 0x4000, 0x2000, 0x1000, 0x0800, 0x0400
_REPLY, _EXPIRATION, _MESSAGE, _TIMESTAMP, _TYPE, _USER, _APP = 0x0200, 0x0100, 0x0080, 0x0040, 0x0020, 0x0010, 0x0008

_FIXED: Final = {
    code: struct.Struct(form)
    for code, form in {
        "t": ">?", "b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I", "l": ">q", "f": ">f", "d": ">d",
    }.items()
}  # fmt: skip
"""Field types of a fixed size, by RabbitMQ's letters."""


class Address(NamedTuple):
    """What the broker says of a delivery itself."""

    consumer_tag: str
    delivery_tag: int
    redelivered: bool
    exchange: str
    routing_key: str


class _Pending:
    """A delivery whose header or body has not all come."""

    __slots__ = ("address", "body", "delivery", "missing")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.delivery: Delivery | None = None
        self.body: list[bytes] = []
        self.missing = 0


class Frames:
    """Cuts a stream into frames; `deliver` gets what is delivered, `pass_on` every other frame as it came."""

    def __init__(self, deliver: Callable[[Address, Delivery], None], pass_on: Callable[[bytes], None]) -> None:
        """Nothing has come yet."""
        self._deliver = deliver
        self._pass_on = pass_on
        self._rest = b""
        self._pending: dict[int, _Pending] = {}
        self._foreign = False

    def feed(self, data: bytes) -> bool:
        """Take in what has come; whether a frame was passed on."""
        if self._foreign:
            self._pass_on(data)
            return True
        if self._rest:
            data = self._rest + data
        start, size, passed = 0, len(data), False
        while size - start >= _frame.size:
            kind, channel, length = _frame.unpack_from(data, start)
            end = start + _frame.size + length + 1
            if kind not in {METHOD, HEADER, BODY, HEARTBEAT}:
                # Not AMQP 0-9-1: the other side's version, say. The library knows what to make of it.
                self._foreign = True
                self._pass_on(data[start:])
                return True
            if end > size:
                break
            if data[end - 1] != END or not self._taken(kind, channel, data[start + _frame.size : end - 1]):
                self._pass_on(data[start:end])
                passed = True
            start = end
        self._rest = data[start:]
        return passed

    def _taken(self, kind: int, channel: int, payload: bytes) -> bool:
        """Whether the frame belongs to a delivery."""
        if kind == METHOD:
            if len(payload) < _method.size or _method.unpack_from(payload) != DELIVER:
                return False
            self._pending[channel] = _Pending(_address(payload))
            return True
        pending = self._pending.get(channel)
        if pending is None:
            return False
        if kind == HEADER:
            _, _, pending.missing, flags = _header.unpack_from(payload)
            pending.delivery = _delivery(payload, flags)
        elif kind == BODY:
            pending.body.append(payload)
            pending.missing -= len(payload)
        else:
            return False
        if pending.missing <= 0 and pending.delivery is not None:
            del self._pending[channel]
            delivery, address = pending.delivery, pending.address
            delivery.body = pending.body[0] if len(pending.body) == 1 else b"".join(pending.body)
            delivery.exchange = address.exchange
            delivery.routing_key = address.routing_key
            delivery.redelivered = address.redelivered
            self._deliver(address, delivery)
        return True


def _address(payload: bytes) -> Address:
    consumer_tag, at = _text(payload, _method.size)
    delivery_tag, redelivered = _tag.unpack_from(payload, at)
    exchange, at = _text(payload, at + _tag.size)
    routing_key, _ = _text(payload, at)
    return Address(consumer_tag, delivery_tag, bool(redelivered & 1), exchange, routing_key)


def _text(payload: bytes, at: int) -> tuple[str, int]:
    """A short string, and where it ends. What is not UTF-8 is written out, so that different bytes stay different."""
    begin = at + 1
    end = begin + payload[at]
    return payload[begin:end].decode("utf-8", "backslashreplace"), end


def _delivery(payload: bytes, flags: int) -> Delivery:
    """What a header says, as far as it can be read; the properties come in the order of their bits."""
    at = _header.size
    more = flags
    while more & 1:
        # No property lies beyond the first word of flags, but a sender may say so.
        (more,) = _short.unpack_from(payload, at)
        at += _short.size
    delivery = Delivery("", b"")
    try:
        _read(delivery, payload, at, flags)
    except (struct.error, IndexError):
        # The broker checks what a header is made of; whatever is missing here is missing for the Intake.
        return delivery
    return delivery


def _read(delivery: Delivery, payload: bytes, at: int, flags: int) -> None:
    """Read the properties one after another. Raises struct.error or IndexError where they end too early."""
    if flags & _CONTENT_TYPE:
        delivery.content_type, at = _text(payload, at)
    if flags & _ENCODING:
        at = _over(payload, at)
    if flags & _HEADERS:
        begin = at + _long.size
        at = begin + _long.unpack_from(payload, at)[0]
        delivery.headers = _headers(payload, begin, at)
    at += (flags & _MODE != 0) + (flags & _PRIORITY != 0)
    if flags & _CORRELATION:
        delivery.correlation_id, at = _text(payload, at)
    for unused in (_REPLY, _EXPIRATION):
        if flags & unused:
            at = _over(payload, at)
    if flags & _MESSAGE:
        delivery.message_id, at = _text(payload, at)
    if flags & _TIMESTAMP:
        delivery.timestamp = _instant(*_long_long.unpack_from(payload, at))
        at += _long_long.size
    if flags & _TYPE:
        delivery.type, at = _text(payload, at)
    if flags & _USER:
        delivery.user_id, at = _text(payload, at)
    if flags & _APP:
        delivery.app_id, at = _text(payload, at)


def _over(payload: bytes, at: int) -> int:
    """Where a short string ends that nobody reads."""
    return at + payload[at] + 1


def _instant(seconds: float) -> datetime | None:
    """Seconds, or milliseconds where they are too many; None beyond all calendars."""
    if seconds > _MILLISECONDS_FROM:
        seconds /= 1000.0
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _headers(payload: bytes, at: int, end: int) -> dict[str, object]:
    """A table of headers; those before the first one that cannot be read."""
    table: dict[str, object] = {}
    try:
        while at < end:
            name, at = _text(payload, at)
            table[name], at = _value(payload, at, TABLES_WITHIN_TABLES)
    except (struct.error, ValueError, IndexError):
        return table
    return table


def _value(payload: bytes, at: int, depth: int) -> tuple[object, int]:
    """One value of a table, and where it ends. Raises ValueError where its type is unknown or it is nested too deep."""
    code = chr(payload[at])
    at += 1
    fixed = _FIXED.get(code)
    if fixed is not None:
        return fixed.unpack_from(payload, at)[0], at + fixed.size
    if code in "Sx":
        begin = at + _long.size
        end = begin + _long.unpack_from(payload, at)[0]
        content = payload[begin:end]
        return (content if code == "x" else content.decode("utf-8", "backslashreplace")), end
    if code == "V":
        return None, at
    if code == "T":
        return _instant(*_long_long.unpack_from(payload, at)), at + _long_long.size
    if code == "D":
        places, number = struct.unpack_from(">Bi", payload, at)
        return number / 10**places, at + 5
    if code in "FA" and depth:
        begin = at + _long.size
        end = begin + _long.unpack_from(payload, at)[0]
        return (_table(payload, begin, end, depth - 1) if code == "F" else _array(payload, begin, end, depth - 1)), end
    raise ValueError(f"a value of type {code!r} cannot be read")


def _table(payload: bytes, at: int, end: int, depth: int) -> dict[str, object]:
    table: dict[str, object] = {}
    while at < end:
        name, at = _text(payload, at)
        table[name], at = _value(payload, at, depth)
    return table


def _array(payload: bytes, at: int, end: int, depth: int) -> list[object]:
    array: list[object] = []
    while at < end:
        value, at = _value(payload, at, depth)
        array.append(value)
    return array
