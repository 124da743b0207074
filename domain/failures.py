"""Failure classes and fingerprints: one table says what an exception or an HTTP status means for the next attempt."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.errors import Denied, NotApplied, Permanent, RateLimited, Transient

MESSAGE_CHARACTERS: Final = 2_000
FINGERPRINT_CHARACTERS: Final = 16


class FailureClass(StrEnum):
    """What a failure means for the next attempt."""

    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    PERMANENT = "permanent"
    REJECTED = "rejected"
    TIMEOUT = "timeout"
    OUTCOME_UNKNOWN = "outcome_unknown"
    INVALID = "invalid"
    BUG = "bug"


# Classes after which another attempt makes sense, within the retry policy's bounds.
RETRIED: Final = frozenset(
    {
        FailureClass.TRANSIENT,
        FailureClass.RATE_LIMITED,
        FailureClass.TIMEOUT,
        FailureClass.OUTCOME_UNKNOWN,
        FailureClass.BUG,
    }
)


class Failure(BaseModel):
    """One failure, classified. `retry_after_seconds` is a lower bound; `absent` is proof that no effect happened."""

    model_config = ConfigDict(frozen=True)

    kind: FailureClass
    type: str
    message: str = Field(max_length=MESSAGE_CHARACTERS)
    fingerprint: str
    retry_after_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    absent: bool = False


LAPSED: Final = "Lapsed"
"""Type of the failure of an attempt that ended without telling: its lease ran out, or its process is gone."""


def has_lapsed(failure: Failure) -> bool:
    """Whether the attempt ended without telling, so that nothing speaks against trying again at once."""
    return failure.kind is FailureClass.OUTCOME_UNKNOWN and failure.type == LAPSED


# The first row that fits decides; subclasses stand before their bases.
EXCEPTIONS: Final[tuple[tuple[type[BaseException], FailureClass], ...]] = (
    (NotApplied, FailureClass.TRANSIENT),
    (RateLimited, FailureClass.RATE_LIMITED),
    (Transient, FailureClass.TRANSIENT),
    (Permanent, FailureClass.PERMANENT),
    (Denied, FailureClass.REJECTED),
    (ValidationError, FailureClass.INVALID),
    (TimeoutError, FailureClass.TIMEOUT),
    (ConnectionError, FailureClass.TRANSIENT),
    (InterruptedError, FailureClass.TRANSIENT),
    (BlockingIOError, FailureClass.TRANSIENT),
    (PermissionError, FailureClass.PERMANENT),
    (FileNotFoundError, FailureClass.PERMANENT),
    (NotADirectoryError, FailureClass.PERMANENT),
    (IsADirectoryError, FailureClass.PERMANENT),
    (OSError, FailureClass.TRANSIENT),
)

# HTTP statuses by RFC 9110 (and 425 RFC 8470, 429 RFC 6585): what asks for another try, and what says no for good.
STATUSES: Final[dict[int, FailureClass]] = {
    400: FailureClass.INVALID,
    401: FailureClass.PERMANENT,
    403: FailureClass.REJECTED,
    404: FailureClass.PERMANENT,
    408: FailureClass.TIMEOUT,
    409: FailureClass.TRANSIENT,
    422: FailureClass.INVALID,
    425: FailureClass.TRANSIENT,
    429: FailureClass.RATE_LIMITED,
    503: FailureClass.TRANSIENT,
    504: FailureClass.TIMEOUT,
}

_SERVER_ERRORS = range(500, 600)
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_HEX = re.compile(r"\b(?:0x)?[0-9a-f]{8,}\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_SPACE = re.compile(r"\s+")


def classify_status(status: int) -> FailureClass:
    """Class of an HTTP status that is no success: other 5xx are transient, everything else is permanent."""
    known = STATUSES.get(status)
    if known is not None:
        return known
    return FailureClass.TRANSIENT if status in _SERVER_ERRORS else FailureClass.PERMANENT


def classify(exception: BaseException) -> FailureClass:
    """Class of an exception; one that nobody classified is a `bug`.

    An exception that carries an HTTP answer (`response.status_code`, as httpx and requests do, or `status`, as aiohttp
    does) is classified by its status.
    """
    for kind, failure_class in EXCEPTIONS:
        if isinstance(exception, kind) and kind is not OSError:
            return failure_class
    status = getattr(getattr(exception, "response", None), "status_code", getattr(exception, "status", None))
    if isinstance(status, int):
        return classify_status(status)
    return FailureClass.TRANSIENT if isinstance(exception, OSError) else FailureClass.BUG


def normalise(message: str) -> str:
    """Take out of a message what differs from one occurrence to the next: ids, numbers, quoted values."""
    text = _UUID.sub("<id>", message)
    text = _QUOTED.sub("<value>", text)
    text = _HEX.sub("<id>", text)
    text = _NUMBER.sub("<n>", text)
    return _SPACE.sub(" ", text).strip()[:500]


def fingerprint(activity: str, kind: FailureClass, message: str) -> str:
    """Sixteen hex characters that are the same for failures of the same make."""
    text = "\x1f".join((activity, kind.value, normalise(message)))
    return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_CHARACTERS]


def make_failure(
    activity: str,
    kind: FailureClass,
    message: str,
    *,
    type_name: str = "",
    retry_after_seconds: float | None = None,
    absent: bool = False,
) -> Failure:
    """Make the record of one failure; the message is cut to MESSAGE_CHARACTERS."""
    return Failure(
        kind=kind,
        type=type_name or kind.value,
        message=message[:MESSAGE_CHARACTERS],
        fingerprint=fingerprint(activity, kind, message),
        retry_after_seconds=retry_after_seconds,
        absent=absent,
    )


def failure_from_exception(activity: str, exception: BaseException, *, readable: Callable[[str], str] = str) -> Failure:
    """Make the record of a failure from what an activity raised; `readable` cleans its message before it is cut."""
    kind = classify(exception)
    message = str(exception) or type(exception).__name__
    if isinstance(exception, ValidationError):
        first = exception.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = f"{exception.title}: {place}: {first['msg']}"
    message = readable(message)
    retry_after = exception.retry_after_seconds if isinstance(exception, RateLimited) else None
    return make_failure(
        activity,
        kind,
        message,
        type_name=type(exception).__name__,
        retry_after_seconds=retry_after,
        absent=isinstance(exception, NotApplied),
    )
