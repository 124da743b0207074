"""Failure classes: one table from exceptions and HTTP statuses; a fingerprint that is the same for the same make."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from domain.errors import LONGEST_PATIENCE_SECONDS, Denied, NotApplied, Permanent, RateLimited, Transient
from domain.failures import (
    EXCEPTIONS,
    MESSAGE_CHARACTERS,
    FailureClass,
    classify,
    classify_status,
    failure_from_exception,
    fingerprint,
    make_failure,
    normalise,
)


class Number(BaseModel):
    """Something with a field."""

    n: int


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Number(n="x")  # type: ignore[arg-type]
    return caught.value


class OfHttp(Exception):
    """An exception as HTTP clients raise it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.response = SimpleNamespace(status_code=status)


@pytest.mark.parametrize(
    ("exception", "kind"),
    [
        (Transient("later"), "transient"),
        (NotApplied("nothing happened"), "transient"),
        (RateLimited(retry_after_seconds=3), "rate_limited"),
        (Permanent("never"), "permanent"),
        (Denied("no"), "rejected"),
        (TimeoutError(), "timeout"),
        (ConnectionResetError(), "transient"),
        (FileNotFoundError("x"), "permanent"),
        (PermissionError("x"), "permanent"),
        (OSError(28, "disk full"), "transient"),
        (KeyError("x"), "bug"),
        (ZeroDivisionError(), "bug"),
        (OfHttp(404), "permanent"),
        (OfHttp(429), "rate_limited"),
        (OfHttp(503), "transient"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_an_exception_has_a_class(exception: Exception, kind: str) -> None:
    assert classify(exception) == kind


def test_an_output_that_does_not_validate_is_invalid_and_the_message_names_the_field() -> None:
    failure = failure_from_exception("look", invalid())
    assert failure.kind is FailureClass.INVALID
    assert "Number: n:" in failure.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid"),
        (401, "permanent"),
        (403, "rejected"),
        (404, "permanent"),
        (408, "timeout"),
        (409, "transient"),
        (418, "permanent"),
        (422, "invalid"),
        (425, "transient"),
        (429, "rate_limited"),
        (500, "transient"),
        (502, "transient"),
        (503, "transient"),
        (504, "timeout"),
        (599, "transient"),
        (302, "permanent"),
    ],
)
def test_an_http_status_has_a_class(status: int, kind: str) -> None:
    assert classify_status(status) == kind


def test_subclasses_stand_before_their_bases_so_that_every_row_can_be_reached() -> None:
    kinds = [kind for kind, _ in EXCEPTIONS]
    for place, kind in enumerate(kinds):
        assert not any(issubclass(kind, earlier) for earlier in kinds[:place]), kind


def test_only_not_applied_proves_absence() -> None:
    assert failure_from_exception("look", NotApplied("nothing happened")).absent
    assert not failure_from_exception("look", Permanent("never")).absent


def test_how_long_the_other_side_asked_for_patience_is_kept_within_a_year() -> None:
    asked = [RateLimited(retry_after_seconds=seconds).retry_after_seconds for seconds in (3, -1, 1e300, float("nan"))]
    assert asked == [3.0, 0.0, LONGEST_PATIENCE_SECONDS, 0.0]
    assert failure_from_exception("look", RateLimited(retry_after_seconds=7)).retry_after_seconds == 7


def test_a_long_message_is_cut() -> None:
    assert len(make_failure("look", FailureClass.BUG, "x" * 9_000).message) == MESSAGE_CHARACTERS


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("order 17 not found", "order 9923 not found"),
        ("no row for 'ann'", "no row for 'bob'"),
        ("id 7f9c24e8-3b0a-4f4e-8d0e-0c8f6a5b1c2d gone", "id 00000000-0000-4000-8000-000000000000 gone"),
        ("object at 0x7f3a9c1d2e80", "object at 0x7f3a9c1d0000"),
        ("too   many\nspaces", "too many spaces"),
    ],
)
def test_failures_of_the_same_make_have_the_same_fingerprint(one: str, other: str) -> None:
    assert fingerprint("look", FailureClass.BUG, one) == fingerprint("look", FailureClass.BUG, other)


def test_activity_class_and_words_tell_fingerprints_apart() -> None:
    parts = [
        ("look", FailureClass.BUG, "a"),
        ("tell", FailureClass.BUG, "a"),
        ("look", FailureClass.TRANSIENT, "a"),
        ("look", FailureClass.BUG, "b"),
    ]
    assert len({fingerprint(*one) for one in parts}) == len(parts)


@given_any(st.text(max_size=2_000))
def test_any_message_can_be_recorded(message: str) -> None:
    failure = make_failure("look", FailureClass.BUG, message)
    assert len(failure.fingerprint) == 16
    assert normalise(normalise(message)) == normalise(message) or len(message) > 400
