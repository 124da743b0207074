"""The outside ledger itself: it keeps books, honours keys, and notices every breach it is there to notice."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from tests.crash.books import Books, Call
from tests.crash.ledger import When
from tests.crash.outside import LIMIT_SECONDS, Outside, line_of
from tests.servers.processes import until

Worlds = Callable[[], Outside]


def apply(key: str = "wf/a/run", **more: object) -> Call:
    return Call.model_validate({"act": "apply", "workflow": "wf", "name": "a", "key": key, **more})


def once(**more: object) -> Call:
    return Call.model_validate({"act": "apply_once", "workflow": "wf", "name": "a", "key": "wf/a/run", **more})


UNDO = Call(act="undo", workflow="wf", name="a", key="wf/a/compensate", of="wf/a/run")
ASK = Call(act="ask", workflow="wf", name="a", key="wf/a/probe", of="wf/a/run")
FOUND_ABSENT = Call(act="find_absent", workflow="wf", name="a", key="a person", of="wf/a/run")


def test_a_repeated_key_is_one_effect_with_one_answer() -> None:
    books = Books()
    answers = [books.take(apply()) for _ in range(3)]
    assert len({(one.word, one.receipt) for one in answers}) == 1
    assert (books.effects(), books.breaches) == ({"wf/a/run": 1}, [])


def test_every_call_for_a_once_effect_is_one() -> None:
    books = Books()
    books.take(once())
    books.take(once())
    assert books.effects() == {"wf/a/run": 2}


def test_undoing_ends_an_effect_and_undoing_nothing_is_fine() -> None:
    books = Books()
    books.take(UNDO)
    assert not books.breaches
    books = Books()
    books.take(apply())
    assert books.stands("wf/a/run")
    books.take(UNDO)
    assert not books.stands("wf/a/run")
    assert books.undone() == ["wf/a/run"]


def test_the_outside_behaves_as_it_is_told_to() -> None:
    books = Books()
    assert [Books().take(apply(lose=lose)).lost for lose in (0, 1)] == [False, True]
    assert [books.take(apply(busy=2)).word for _ in range(3)] == ["busy", "busy", "applied"]
    assert Books().take(apply(never=True)).word == "never"
    assert [books.take(once(refuse=1)).word for _ in range(2)] == ["absent", "applied"]


@pytest.mark.parametrize(
    ("calls", "breach"),
    [
        ([apply(), apply("wf/a/run~2")], "key of its apply changed"),
        ([apply(key="")], "without a key"),
        ([apply(), UNDO, apply()], "after it was undone"),
        ([apply(attempt=1), UNDO, apply(attempt=2)], "after it was undone"),
        ([apply(attempt=1), apply(attempt=1)], "called twice"),
        ([apply(attempt=1), apply(attempt=2, lose=1)], "something else"),
        ([once(), once()], "without proof"),
        ([once(busy=1), once(busy=1)], "without proof"),
        ([once(), ASK, once()], "without proof"),
        ([once(refuse=1), once(refuse=1), once(refuse=1)], "without proof"),
        ([once(), FOUND_ABSENT], "but it was"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(call.act for call in value),
)
def test_every_breach_is_noticed(calls: list[Call], breach: str) -> None:
    books = Books()
    for call in calls:
        books.take(call)
    assert any(breach in one for one in books.breaches), books.breaches


@pytest.mark.parametrize(
    "calls",
    [
        [apply(), apply(), UNDO, UNDO],
        [apply(attempt=1), apply(attempt=2)],
        [apply(attempt=2), UNDO, apply(attempt=1)],
        [ASK, once()],
        [once(refuse=1), once(refuse=1)],
        [once(never=True), ASK, once()],
        [once(never=True), FOUND_ABSENT, once()],
    ],
    ids=lambda calls: "-".join(call.act for call in calls),
)
def test_what_is_allowed_is_no_breach(calls: list[Call]) -> None:
    books = Books()
    for call in calls:
        books.take(call)
    assert books.breaches == []


def test_what_an_attempt_sends_that_was_given_up_and_undone_is_turned_away() -> None:
    books = Books()
    assert [books.take(one).word for one in (apply(attempt=2), UNDO, apply(attempt=1))] == ["applied", "undone", "late"]
    assert not books.stands("wf/a/run")


def test_books_travel_as_json() -> None:
    books = Books()
    for call in (apply(busy=1), apply(busy=1), UNDO, apply()):
        books.take(call)
    assert Books.from_json(books.as_json()) == books


def test_the_ledger_answers_over_the_wire_and_keeps_worlds_apart(worlds: Worlds) -> None:
    one, other = worlds(), worlds()
    assert one.request("call", call=apply().model_dump())["word"] == "applied"
    assert one.books().effects() == {"wf/a/run": 1}
    assert other.books().effects() == {}
    copied = one.copied(f"{one.world}-copied")
    one.request("call", call=UNDO.model_dump())
    assert copied.books().undone() == []


@pytest.mark.parametrize(("when", "effects"), [("before", {}), ("after", {"wf/a/run": 1})])
def test_a_held_call_whose_caller_dies_happened_or_did_not(worlds: Worlds, when: When, effects: object) -> None:
    outside = worlds()
    outside.hold(1, when)
    with socket.create_connection(("127.0.0.1", outside.port), timeout=LIMIT_SECONDS) as caller:
        caller.sendall(line_of(outside.world, "call", {"call": apply().model_dump()}))
        outside.until_held()
    assert outside.books().effects() == effects
    assert outside.request("call", call=apply().model_dump())["word"] == "applied"


def test_an_outside_that_takes_its_time_does_so_although_the_caller_is_gone(worlds: Worlds) -> None:
    outside = worlds()
    slow = apply(takes_seconds=0.02)
    with socket.create_connection(("127.0.0.1", outside.port), timeout=LIMIT_SECONDS) as caller:
        caller.sendall(line_of(outside.world, "call", {"call": slow.model_dump()}))
    until(lambda: outside.books().effects() == {"wf/a/run": 1}, "the effect is there")
    assert outside.request("call", call=slow.model_dump())["word"] == "applied"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_held_call_that_is_released_goes_on(worlds: Worlds, when: When) -> None:
    outside = worlds()
    outside.hold(1, when)
    calling = asyncio.create_task(asyncio.to_thread(outside.request, "call", call=apply().model_dump()))
    await asyncio.to_thread(outside.until_held)
    assert not calling.done()
    outside.release()
    assert (await calling)["word"] == "applied"
    assert outside.books().effects() == {"wf/a/run": 1}
