"""What may travel as a payload: plain JSON within bounds that every reader of the record can hold.

Inputs, outputs, evidence, signals' payloads and supplied outputs pass through here before they reach a decision, so
that an event that is recorded can always be encoded, decoded and given a digest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_json

from domain.chain import LARGEST_INTEGER, canonical
from domain.errors import InputInvalid

PAYLOAD_BYTES: Final = 256 * 1024
"""Bound of one payload, in bytes of canonical JSON; what is larger goes to the artifact store."""

PAYLOAD_LEVELS: Final = 100
"""Bound of nesting: readers of JSON refuse documents that are nested much deeper."""


def check_payload(value: Any, what: str, *, most_bytes: int = PAYLOAD_BYTES) -> None:
    """Raise InputInvalid, naming `what` and the place, where a value is no payload.

    A payload is null, a boolean, a number, a string, a list or an object with string keys; integers lie within
    ±(2^53−1), floats are finite, strings are Unicode without lone surrogates.
    """
    fault = _fault(value, 0)
    if fault is not None:
        place, reason = fault
        raise InputInvalid(f"{what}{place[:200]}: {reason}")
    try:
        size = len(to_json(value))
    except (PydanticSerializationError, ValueError) as error:
        raise InputInvalid(f"{what}: has no JSON form: {str(error)[:200]}") from error
    # Compact JSON is never shorter than the canonical form but for the writing of floats, so that one is made only
    # where it decides.
    if size > most_bytes and (exact := len(canonical(value))) > most_bytes:
        raise InputInvalid(f"{what}: {exact} bytes, at most {most_bytes}; write an artifact and pass its reference")


def holds_null(value: Any) -> bool:
    """Whether a payload holds a null, or is one."""
    if type(value) is dict:
        return any(holds_null(part) for part in value.values())
    if type(value) is list:
        return any(holds_null(part) for part in value)
    return value is None


def check_finite(value: Any, what: str) -> None:
    """Raise InputInvalid, naming `what` and the place, where a value that is to become JSON holds NaN or an infinity.

    For what pydantic has dumped for Python: JSON would hold null there without a word.
    """
    if isinstance(value, float):
        fault = _fault_in_float(value, 0)
        if fault is not None:
            raise InputInvalid(f"{what}: {fault[1]}")
    elif isinstance(value, Mapping):
        for key, part in value.items():
            check_finite(part, f"{what}.{key}")
    elif isinstance(value, list | tuple | set | frozenset):
        for number, part in enumerate(value):
            check_finite(part, f"{what}[{number}]")


Fault = tuple[str, str]
"""Where in a value, and why."""


def _fault(value: Any, level: int) -> Fault | None:
    """Where and why a value is no payload, or None. Exact types: a payload is what JSON itself would give."""
    check = _CHECKS.get(type(value))
    if check is None:
        return "", f"{type(value).__name__} is no JSON value"
    return check(value, level)


_LEAVES: Final = frozenset({str, bool, type(None)})
"""Types that need no look: strings are checked when the whole is encoded."""


def _sound(_: Any, __: int) -> None:
    """Find no fault in a leaf."""


def _fault_in_integer(value: int, _: int) -> Fault | None:
    return None if -LARGEST_INTEGER <= value <= LARGEST_INTEGER else ("", "an integer beyond ±(2^53−1)")


def _fault_in_float(value: float, _: int) -> Fault | None:
    return None if math.isfinite(value) else ("", f"{value} is no JSON number")


def _fault_in_list(value: Sequence[Any], level: int) -> Fault | None:
    if level >= PAYLOAD_LEVELS:
        return "", f"nested deeper than {PAYLOAD_LEVELS} levels"
    for number, part in enumerate(value):
        if type(part) in _LEAVES:
            continue
        fault = _fault(part, level + 1)
        if fault is not None:
            return f"[{number}]{fault[0]}", fault[1]
    return None


def _fault_in_object(value: Mapping[Any, Any], level: int) -> Fault | None:
    if level >= PAYLOAD_LEVELS:
        return "", f"nested deeper than {PAYLOAD_LEVELS} levels"
    for key, part in value.items():
        if type(key) is not str:
            return "", f"the key {str(key)[:80]!r} is no string"
        if type(part) in _LEAVES:
            continue
        fault = _fault(part, level + 1)
        if fault is not None:
            return f".{key}{fault[0]}", fault[1]
    return None


_CHECKS: Final[dict[type, Callable[[Any, int], Fault | None]]] = {
    type(None): _sound,
    bool: _sound,
    str: _sound,
    int: _fault_in_integer,
    float: _fault_in_float,
    list: _fault_in_list,
    tuple: _fault_in_list,
    dict: _fault_in_object,
}
