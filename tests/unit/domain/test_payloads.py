"""What may be a payload: exactly what can be written, read again and given a digest."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from domain.chain import LARGEST_INTEGER, canonical
from domain.errors import InputInvalid
from domain.payloads import PAYLOAD_BYTES, PAYLOAD_LEVELS, check_payload

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.characters(categories=["Cs"])
    | st.sampled_from([LARGEST_INTEGER, LARGEST_INTEGER + 1, -LARGEST_INTEGER, -LARGEST_INTEGER - 1, b"x", object()]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_what_passes_can_be_written_read_again_and_given_a_digest(value: Any) -> None:
    try:
        check_payload(value, "value")
    except InputInvalid:
        return
    assert from_json(to_json(value)) == value
    assert canonical(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [1, {"b": 2**53}]}, r"^it\.a\[1\]\.b: an integer beyond"),
        ({"a": float("nan")}, r"^it\.a: nan is no JSON number"),
        ([float("-inf")], r"^it\[0\]: -inf"),
        ({1: "x"}, "^it: the key '1' is no string"),
        ({"a": {1, 2}}, r"^it\.a: set is no JSON value"),
        ("\ud800", "^it: has no JSON form"),
        ({"\ud800": 1}, "^it: has no JSON form"),
    ],
)
def test_what_is_none_is_named_with_its_place(value: Any, words: str) -> None:
    with pytest.raises(InputInvalid, match=words):
        check_payload(value, "it")


def nested(levels: int) -> Any:
    value: Any = 0
    for number in range(levels):
        value = [value] if number % 2 else {"x": value}
    return value


def test_nesting_has_a_bound_that_readers_keep() -> None:
    check_payload(nested(PAYLOAD_LEVELS), "it")
    assert from_json(to_json({"some": {"event": [nested(PAYLOAD_LEVELS)]}}))
    for levels in (PAYLOAD_LEVELS + 1, 50_000):
        with pytest.raises(InputInvalid, match="nested deeper than 100 levels"):
            check_payload(nested(levels), "it")


def test_the_bound_is_on_bytes_of_canonical_json() -> None:
    check_payload("é" * ((PAYLOAD_BYTES - 2) // 2), "it")
    with pytest.raises(InputInvalid, match=f"{PAYLOAD_BYTES + 1} bytes, at most {PAYLOAD_BYTES}"):
        check_payload("x" * (PAYLOAD_BYTES - 1), "it")
    # Written as 1.0 it is longer than the canonical 1.
    check_payload([1.0, 1.0], "it", most_bytes=len(b"[1,1]"))
