"""Deliveries read: bytes in, a body out, or MessageUnfit with the fault's name and a reason that a person understands.

Nothing else is ever raised, whatever the bytes. What is refused before a body's own shape is looked at: what is too
large, no UTF-8, no JSON, nested too deeply, says a key twice, or holds a number or a text that not every reader of the
record can hold (integers beyond ±(2^53−1), NaN, infinities, lone surrogates, NUL characters).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, Any, Final, Generic, NoReturn, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from domain.chain import LARGEST_INTEGER, digest_of
from domain.errors import InputInvalid, MessageUnfit
from domain.messages.bodies import CONTROLS, Approval, Control, Goal, Outcome, Signal
from domain.messages.commands import StepCommand
from domain.messages.names import BODY_BYTES, COMMAND_BODY_BYTES, GOAL_BODY_BYTES, MESSAGE_ID_BYTES, Fault
from domain.payloads import PAYLOAD_LEVELS, check_payload
from domain.transport import Delivery

AnyBody = TypeVar("AnyBody", bound=BaseModel)

_DELETE: Final = 127
_INTEGER_DIGITS: Final = len(str(LARGEST_INTEGER))
_VERSIONED: Final = re.compile(r"(handrail\.[a-z_.]+)\.v(\d{1,9})")
_SHOWN: Final = 80
"""Characters of a sender's own words that a reason quotes."""


@dataclass
class Read(Generic[AnyBody]):
    """A message read: its body, and what its properties say.

    `sender` is whom the broker vouches for; empty where the kind of message does not need one. `unknown_fields` is how
    many fields of the body this version does not know, and ignored.
    """

    body: AnyBody
    message_id: str
    sender: str
    document: Any
    unknown_fields: int = 0

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the body's canonical JSON, unknown fields included: equal for equal bodies."""
        return digest_of(self.document)


def read_goal(delivery: Delivery) -> Read[Goal]:
    """A goal. Raises MessageUnfit."""
    return _read(delivery, {Goal.wire_type: Goal}, most_bytes=GOAL_BODY_BYTES)


def read_approval(delivery: Delivery) -> Read[Approval]:
    """A person's decision. Raises MessageUnfit."""
    return _read(delivery, {Approval.wire_type: Approval})


def read_signal(delivery: Delivery) -> Read[Signal]:
    """A signal; its sender need not be known. Raises MessageUnfit."""
    return _read(delivery, {Signal.wire_type: Signal}, sender_required=False)


def read_control(delivery: Delivery) -> Read[Control]:
    """An operator's act. Raises MessageUnfit."""
    return _read(delivery, _CONTROLS)


def read_outcome(delivery: Delivery) -> Read[Outcome]:
    """A foreign consumer's outcome; its sender need not be known. Raises MessageUnfit."""
    return _read(delivery, {Outcome.wire_type: Outcome}, sender_required=False)


def read_command(delivery: Delivery) -> Read[StepCommand]:
    """A step command. Raises MessageUnfit.

    It comes from our own relay, and what it holds was checked when it was decided: only its shape is looked at, which
    is a tenth of the work. Its `unknown_fields` are those of the body itself.
    """
    fault = message_id_fault(delivery.message_id)
    if fault is not None:
        _unfit(Fault.MESSAGE_ID_UNFIT if delivery.message_id else Fault.MESSAGE_ID_MISSING, fault)
    kind = _kind(delivery, {StepCommand.wire_type: StepCommand})
    if len(delivery.body) > COMMAND_BODY_BYTES:
        _unfit(Fault.TOO_LARGE, f"the body has {len(delivery.body)} bytes, at most {COMMAND_BODY_BYTES}")
    try:
        document = from_json(delivery.body, allow_inf_nan=False)
        body = kind.model_validate(document)
    except ValidationError as error:
        _unfit(Fault.SCHEMA, f"the body is no {delivery.type}: {_reasons(error)}")
    except (ValueError, RecursionError) as error:
        _unfit(Fault.NOT_JSON, f"the body is no JSON: {_short(str(error))}")
    if body.message_id != delivery.message_id:
        _unfit(Fault.MESSAGE_ID_UNFIT, f"its body speaks of command {_short(body.message_id)}, it is another")
    unknown = len(document.keys() - kind.model_fields.keys())
    return Read(body, delivery.message_id, delivery.user_id, document, unknown)


_CONTROLS: Final[Mapping[str, type[Control]]] = {one.wire_type: one for one in CONTROLS.values()}


def _read(
    delivery: Delivery,
    kinds: Mapping[str, type[AnyBody]],
    *,
    sender_required: bool = True,
    most_bytes: int = BODY_BYTES,
) -> Read[AnyBody]:
    fault = message_id_fault(delivery.message_id)
    if fault is not None:
        _unfit(Fault.MESSAGE_ID_UNFIT if delivery.message_id else Fault.MESSAGE_ID_MISSING, fault)
    if sender_required and not delivery.user_id:
        _unfit(
            Fault.USER_ID_MISSING,
            "there is no user_id: set it to the login that you connect with, so that the broker vouches for you",
        )
    if delivery.user_id and message_id_fault(delivery.user_id) is not None:
        _unfit(Fault.USER_ID_MISSING, f"the user_id {delivery.user_id[:_SHOWN]!a} is no login")
    kind = _kind(delivery, kinds)
    document = check_body(delivery.body, most_bytes=most_bytes)
    try:
        body = kind.model_validate_json(delivery.body)
    except ValidationError as error:
        _unfit(Fault.SCHEMA, f"the body is no {delivery.type}: {_reasons(error)}")
    except (ValueError, RecursionError) as error:  # not known to happen: what json takes, pydantic takes
        _unfit(Fault.NOT_JSON, f"the body cannot be read: {_short(str(error))}")
    return Read(body, delivery.message_id, delivery.user_id, document, _count_unknown(kind, document))


def message_id_fault(message_id: str) -> str | None:
    """Why a text cannot be a message id, or None where it can."""
    if not message_id:
        return "there is no message_id: it is what makes a repeat a repeat"
    if len(message_id.encode("utf-8", "backslashreplace")) > MESSAGE_ID_BYTES:
        return f"the message_id has more than {MESSAGE_ID_BYTES} bytes"
    if any(ord(letter) < ord(" ") or ord(letter) == _DELETE or _is_surrogate(letter) for letter in message_id):
        return f"the message_id {message_id[:40]!a} holds a control character: use letters, digits and '-'"
    return None


def _is_surrogate(letter: str) -> bool:
    return "\ud800" <= letter <= "\udfff"


def _kind(delivery: Delivery, kinds: Mapping[str, type[AnyBody]]) -> type[AnyBody]:
    media_type = delivery.content_type.partition(";")[0].strip().lower()
    if media_type not in {"", "application/json"}:
        _unfit(
            Fault.CONTENT_TYPE_UNFIT,
            f"its content_type is {_short(delivery.content_type)}, it must be application/json",
        )
    kind = kinds.get(delivery.type)
    if kind is not None:
        return kind
    read_here = " or ".join(kinds)
    if not delivery.type:
        _unfit(Fault.TYPE_MISSING, f"there is no `type` property: this queue takes {read_here}")
    versioned = _VERSIONED.fullmatch(delivery.type)
    known = {name.rpartition(".v")[0]: name for name in kinds}
    if versioned is not None and versioned[1] in known:
        _unfit(
            Fault.VERSION_UNKNOWN,
            f"version {versioned[2]} of {versioned[1]} is not known here: send {known[versioned[1]]}, "
            "or bring Handrail up to date and replay this message",
        )
    return _unfit(Fault.TYPE_UNKNOWN, f"its type is {_short(delivery.type)}: this queue takes {read_here}")


# --- bytes to JSON --------------------------------------------------------------------------------------------------


def check_body(body: bytes, *, most_bytes: int = BODY_BYTES) -> Any:
    """A body's JSON; raises MessageUnfit where no reader could take it, whatever its kind."""
    if len(body) > most_bytes:
        _unfit(
            Fault.TOO_LARGE,
            f"the body has {len(body)} bytes, at most {most_bytes}: put what is large into an artifact, send its name",
        )
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        _unfit(Fault.NOT_UTF8, f"the body is no UTF-8: byte {error.start} is 0x{body[error.start]:02x}")
    try:
        document = _DECODER.decode(text)
    except RecursionError:
        _unfit(Fault.TOO_DEEP, f"the body is nested deeper than {PAYLOAD_LEVELS} levels")
    except json.JSONDecodeError as error:
        _unfit(Fault.NOT_JSON, f"the body is no JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    if not isinstance(document, dict):
        _unfit(Fault.SCHEMA, "the body is no JSON object: it begins with '{' and ends with '}'")
    # NUL and lone surrogates can stand in JSON only as escapes, so most bodies need no closer look.
    if "\\u" in text:
        _check_texts(document, "", 0)
    try:
        check_payload(document, "the body", most_bytes=most_bytes)
    except InputInvalid as error:
        _unfit(Fault.TOO_DEEP if "nested" in str(error) else Fault.NUMBER_UNFIT, str(error))
    return document


def _pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        _unfit(
            Fault.DUPLICATE_KEY, f"the key {_short(twice)} is said twice in one object: readers differ on which counts"
        )
    return made


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS + 1 or abs(int(digits)) > LARGEST_INTEGER:
        _unfit(Fault.NUMBER_UNFIT, f"the integer {_short(digits)} lies beyond ±(2^53−1): send it as a text")
    return int(digits)


def _constant(word: str) -> NoReturn:
    _unfit(Fault.NUMBER_UNFIT, f"{word} is no JSON number: leave the field out, or send null")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_integer, parse_constant=_constant)


def _check_texts(value: Any, place: str, level: int) -> None:
    if level > PAYLOAD_LEVELS:
        _unfit(Fault.TOO_DEEP, f"the body is nested deeper than {PAYLOAD_LEVELS} levels")
    if type(value) is str:
        _check_text(value, place)
    elif type(value) is dict:
        for key, part in value.items():
            _check_text(key, f"{place}: a key")
            _check_texts(part, f"{place}.{key}", level + 1)
    elif type(value) is list:
        for number, part in enumerate(value):
            _check_texts(part, f"{place}[{number}]", level + 1)


def _check_text(text: str, place: str) -> None:
    if "\0" in text:
        _unfit(Fault.TEXT_UNFIT, f"the body{place[:_SHOWN]}: holds a NUL character, which no database keeps")
    if any(map(_is_surrogate, text)):
        _unfit(Fault.TEXT_UNFIT, f"the body{place[:_SHOWN]}: holds half a character (a lone surrogate)")


# --- what a person reads --------------------------------------------------------------------------------------------


def _unfit(fault: Fault, reason: str) -> NoReturn:
    # A reason travels in a header and is shown: whatever it quotes must be text.
    readable = reason.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    raise MessageUnfit(readable, fault=fault.value) from None


def _short(text: str) -> str:
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return repr(shown) if shown.isprintable() else ascii(shown)


def _reasons(error: ValidationError) -> str:
    """The first three things that do not fit, without what was sent: it may be secret."""
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    said = []
    for fault in faults[:3]:
        place = ".".join(str(part)[:_SHOWN] for part in fault["loc"])
        words = fault["msg"].removeprefix("Value error, ")
        said.append(f"{place}: {words}" if place else words)
    more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""  # noqa: PLR2004 - the three above
    return "; ".join(said) + more


# --- what is not known ----------------------------------------------------------------------------------------------


def _count_unknown(kind: type[BaseModel], document: Any) -> int:
    if not isinstance(document, dict):
        return 0
    count = len(document.keys() - kind.model_fields.keys())
    return count + sum(_count_unknown(model, document.get(name)) for name, model in _nested(kind))


@cache
def _nested(kind: type[BaseModel]) -> tuple[tuple[str, type[BaseModel]], ...]:
    """The fields that hold a body of their own."""
    found = []
    for name, info in kind.model_fields.items():
        found += [(name, one) for one in _models_in(info.annotation)]
    return tuple(found)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    arguments = get_args(annotation)
    return [
        one
        for part in (arguments[:1] if get_origin(annotation) is Annotated else arguments)
        for one in _models_in(part)
    ]
