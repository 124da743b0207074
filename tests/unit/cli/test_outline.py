"""JSON for people: short, bounded, harmless."""

import json

from hypothesis import given
from hypothesis import strategies as st

from deploy.cli.outline import outline

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=30,
)


@given(JSON)
def test_nothing_is_lost_where_there_is_room(value: object) -> None:
    text = "\n".join(outline(value, width=40, lines=100_000))
    if text.isascii() and all(mark.isprintable() or mark == "\n" for mark in text) and "…" not in text:
        assert json.loads(text) == value


@given(JSON, st.integers(2, 20))
def test_lines_are_bounded_and_printable(value: object, lines: int) -> None:
    written = outline(value, width=30, lines=lines)
    assert 1 <= len(written) <= lines
    assert all(line.isprintable() for line in written)
    assert all(len(line) <= 60 for line in written[:-1])


def test_what_fits_on_a_line_stays_on_a_line() -> None:
    assert outline({"a": [1, 2], "b": {}}) == ['{"a": [1, 2], "b": {}}']
    assert outline({"name": "x" * 30, "list": [1, 2]}, width=40) == [
        "{",
        f'  "name": "{"x" * 30}",',
        '  "list": [1, 2]',
        "}",
    ]


def test_what_is_left_out_is_counted() -> None:
    written = outline(list(range(100)), width=10, lines=5)
    assert written[:4] == ["[", "  0,", "  1,", "  2,"]
    assert written[4].startswith("… 98 more lines")
