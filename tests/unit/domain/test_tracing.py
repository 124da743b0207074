"""Trace contexts: derived from words, so that they survive whatever forgets; read and written as W3C says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.tracing import TraceContext, parse_traceparent, span_of, trace_of, traceparent_of

WORDS = st.text(min_size=1, max_size=40)


@given(WORDS, WORDS)
def test_the_same_words_name_the_same_span_anywhere(salt: str, words: str) -> None:
    assert 0 < trace_of(salt, words) < 2**128
    assert 0 < span_of(salt, "message", words) < 2**64
    assert trace_of(salt, words) == trace_of(salt, words)


def test_ids_are_those_that_traces_already_have() -> None:
    """Changing how they are derived would cut every workflow in two that is under way."""
    assert f"{trace_of('salt', 'wf_001'):032x}" == "6502c973064ddc430590060adcd1af31"
    assert f"{span_of('salt', 'attempt', 'wf_001/put/run/1'):016x}" == "196fae454d619f5f"


def test_stores_kinds_and_words_are_told_apart() -> None:
    named = [
        span_of("one", "message", "wf_001/put/run/1"),
        span_of("two", "message", "wf_001/put/run/1"),
        span_of("one", "attempt", "wf_001/put/run/1"),
        span_of("one", "message", "wf_001/put/run/2"),
    ]
    assert len(set(named)) == len(named)
    assert trace_of("one", "wf_001") != trace_of("two", "wf_001")


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_is_read(trace_id: int, span_id: int, sampled: bool) -> None:
    context = TraceContext(trace_id, span_id, sampled)
    assert parse_traceparent(traceparent_of(context)) == context


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    text = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-more"
    assert parse_traceparent(text) == TraceContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        "00-aa-bb-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n",
    ],
)
def test_what_is_none_is_as_good_as_missing(text: object) -> None:
    assert parse_traceparent(text) is None
