"""The stand-alone verifier writes canonical JSON as the library does that Handrail uses."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deploy.verify_export import canonical as alone
from domain.chain import canonical

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(), parts, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@example([0.0, -0.0, 1.0, 1e21, 1e20, 123456789012345680000.0, 1e-6, 1e-7, 5e-324, 1.7976931348623157e308, -2.5e-9])
@example({"\ufb33": 1, "\U0001f600": 2, "\x7f": 3, "é": '\u2028\x00\x1f"\\/'})
def test_both_write_the_same(value: Any) -> None:
    assert alone(value).encode() == canonical(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_written_the_same(number: float) -> None:
    assert alone(number).encode() == canonical(number)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, "\ud800", b"bytes"])
def test_what_has_no_form_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        alone(value)
