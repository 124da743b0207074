"""Limits over all processes, in a real database: what is admitted, what is deferred, and what outcomes change."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from consumers.claims import Claims, Taken
from consumers.limits import Limited, LimitsCompanion
from domain.failures import FailureClass, make_failure
from domain.limits import Breaker, Limits, Rate
from domain.ports import Decided, Request
from domain.state import State
from domain.store.application import WorkflowStore
from domain.triggers import RecordOutcome
from tests.unit.consumers.stage import BEGINNING, LEASE_SECONDS, OWNER, DatabaseClock, open_inbox, put


@pytest.fixture
def clock() -> DatabaseClock:
    return DatabaseClock()


@pytest.fixture
def store(tmp_path: Path, clock: DatabaseClock) -> Iterator[WorkflowStore]:
    opened = open_inbox(tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture
def claims(store: WorkflowStore) -> Claims:
    return Claims(store, OWNER, lease_seconds=LEASE_SECONDS)


def take(claims: Claims, limits: Limits, names: Sequence[str]) -> Taken:
    return claims.take(names, limited=[Limited(limits, names)])


def crowd(store: WorkflowStore, count: int, prefix: str = "wf") -> list[str]:
    return [put(store, f"{prefix}_{number:03d}", issue_after=9e9) for number in range(count)]


def deferred(store: WorkflowStore) -> list[tuple[str, float]]:
    rows = store.query(
        "SELECT message_id, due_at FROM inbox WHERE state = 'open' AND due_at IS NOT NULL ORDER BY due_at"
    )
    return [(row[0], row[1]) for row in rows]


def record(store: WorkflowStore, limits: Limits, *kinds: FailureClass | None) -> None:
    """Have attempts under these limits end, in one turn."""
    turn = [ended(limits, kind) for kind in kinds]
    companion = LimitsCompanion()
    with store.transaction() as cursor:
        for along in companion.along(turn):
            along.run(cursor)
    companion.committed(turn)


def ended(limits: Limits | None, kind: FailureClass | None = None, seconds: float = 1.0) -> Decided:
    trigger = RecordOutcome(
        step="a",
        kind="run",
        attempt=1,
        status="ok" if kind is None else "failed",
        failure=None if kind is None else make_failure("a", kind, "no answer"),
        claimed_at=BEGINNING,
        finished_at=BEGINNING + timedelta(seconds=seconds),
    )
    return Decided(Request("wf_1", trigger, BEGINNING, "test", "test", under=limits), State("wf_1"))


# --- claiming -------------------------------------------------------------------------------------------------------


def test_all_processes_together_keep_to_what_may_run_at_once(store: WorkflowStore, claims: Claims) -> None:
    limits = Limits(name="bank", at_once=3)
    there = Claims(store, "there-2", lease_seconds=LEASE_SECONDS)
    names = crowd(store, 6)
    assert take(there, limits, names[:2]).claimed == set(names[:2])
    taken = take(claims, limits, names[2:])
    assert taken.claimed == {names[2]}
    assert set(taken.deferred) == set(names[3:])
    with store.transaction() as cursor:
        cursor.execute("UPDATE inbox SET state = 'done' WHERE message_id = ?", (names[0],))
    assert take(claims, limits, names[3:]).claimed == {names[3]}


def test_a_place_is_free_again_however_its_attempt_ended(store: WorkflowStore, claims: Claims) -> None:
    limits = Limits(name="bank", at_once=1)
    lost, other = crowd(store, 2)
    take(claims, limits, [lost])
    assert not take(claims, limits, [other]).claimed
    with store.transaction() as cursor:
        cursor.execute("UPDATE inbox SET state = 'lapsed' WHERE message_id = ?", (lost,))
    assert take(claims, limits, [other]).claimed == {other}


def test_what_is_deferred_stays_open_and_comes_back_one_after_the_other(
    store: WorkflowStore, claims: Claims, clock: DatabaseClock
) -> None:
    limits = Limits(name="bank", rate=Rate(times=4, per=timedelta(seconds=2)))
    names = crowd(store, 10)
    taken = take(claims, limits, names)
    assert taken.claimed == set(names[:4])
    assert deferred(store) == [(name, clock.at + 0.5 * number) for number, name in enumerate(names[4:], 1)]
    assert {name: one.until for name, one in taken.deferred.items()} == dict(deferred(store))
    assert taken.deferred[names[4]].seconds == 0.5
    assert claims.not_claimed(100) == []
    clock.at += 1.0
    assert [row.message_id for row in claims.not_claimed(100)] == names[4:6]


def test_whoever_comes_later_is_promised_a_later_instant(store: WorkflowStore, claims: Claims) -> None:
    limits = Limits(name="bank", rate=Rate(times=1))
    names = crowd(store, 9)
    for number in range(0, 9, 3):
        take(claims, limits, names[number : number + 3])
    assert [name for name, _ in deferred(store)] == names[1:]
    assert len({at for _, at in deferred(store)}) == 8


def test_in_the_end_all_run_and_never_more_than_the_rate(
    store: WorkflowStore, claims: Claims, clock: DatabaseClock
) -> None:
    limits = Limits(name="bank", rate=Rate(times=5))
    begun: list[float] = []
    waiting = crowd(store, 40)
    take(claims, limits, waiting)
    begun += [clock.at] * 5
    while deferred(store):
        clock.at += 0.1
        due = [row.message_id for row in claims.not_claimed(100)]
        begun += [clock.at] * len(take(claims, limits, due).claimed)
        assert clock.at < BEGINNING.timestamp() + 20
    assert len(begun) == 40
    assert max(sum(at <= other < at + 1 for other in begun) for at in begun) <= 5


def test_those_that_waited_come_before_those_that_are_new(
    store: WorkflowStore, claims: Claims, clock: DatabaseClock
) -> None:
    limits = Limits(name="bank", rate=Rate(times=2))
    waited = crowd(store, 6)
    take(claims, limits, waited)
    new = crowd(store, 3, "new")
    clock.at += 1.1
    assert take(claims, limits, [*new, *waited[3:4]]).claimed == {waited[3]}
    # The place of the one that was promised this moment, and is not here yet, is kept for it.
    assert take(claims, limits, new).claimed == set()
    assert take(claims, limits, waited[2:3]).claimed == {waited[2]}


def test_a_place_is_not_kept_for_ever(store: WorkflowStore, claims: Claims, clock: DatabaseClock) -> None:
    limits = Limits(name="bank", rate=Rate(times=1))
    take(claims, limits, crowd(store, 2))
    (new,) = crowd(store, 1, "new")
    clock.at += 12
    assert take(claims, limits, [new]).claimed == {new}


def test_a_promise_that_is_still_to_come_stands(store: WorkflowStore, claims: Claims, clock: DatabaseClock) -> None:
    limits = Limits(name="bank", rate=Rate(times=1))
    names = crowd(store, 4)
    take(claims, limits, names)
    promised = deferred(store)
    clock.at += 0.5
    assert set(take(claims, limits, names[1:]).deferred) == set(names[1:])
    assert deferred(store) == promised


def test_deferring_makes_up_for_having_been_issued(store: WorkflowStore, claims: Claims) -> None:
    limits = Limits(name="bank", at_once=1)
    names = crowd(store, 2)
    claims.note_issued(names)
    take(claims, limits, names)
    assert store.query("SELECT issued FROM inbox WHERE state = 'open'") == [(0,)]


def test_what_is_deferred_while_it_is_noted_as_issued_comes_back_when_it_was_promised_to(
    store: WorkflowStore, claims: Claims, clock: DatabaseClock
) -> None:
    limits = Limits(name="bank", rate=Rate(times=1))
    names = crowd(store, 2)
    claims.note_issued(names)
    clock.at += 100
    # Sent again, and with a consumer before the sweep has noted it.
    waiting = take(claims, limits, names).deferred
    claims.note_issued(names)
    assert store.query("SELECT message_id, issue_after FROM inbox WHERE state = 'open'") == [
        (name, deferral.until) for name, deferral in waiting.items()
    ]
    clock.at += 10
    claims.note_issued(names)
    ((issue_after,),) = store.query("SELECT issue_after FROM inbox WHERE state = 'open'")
    assert issue_after > clock.at


def test_what_is_not_open_counts_for_nothing(store: WorkflowStore, claims: Claims) -> None:
    limits = Limits(name="bank", rate=Rate(times=1))
    over = [put(store, "wf_done", "done"), put(store, "wf_theirs", "claimed", "there-2"), "wf_none/a/run/1"]
    taken = take(claims, limits, over)
    assert not taken.claimed
    assert not taken.deferred
    (name,) = crowd(store, 1)
    assert take(claims, limits, [name]).claimed == {name}


def test_limits_of_one_name_are_shared_and_others_are_not(store: WorkflowStore, claims: Claims) -> None:
    names = crowd(store, 3)
    assert take(claims, Limits(name="bank", at_once=1), names[:1]).claimed
    assert not take(claims, Limits(name="bank", at_once=1), names[1:2]).claimed
    assert take(claims, Limits(name="register", at_once=1), names[2:]).claimed


def test_several_limits_and_none_go_in_one_claim(store: WorkflowStore, claims: Claims) -> None:
    names = crowd(store, 6)
    bank, register = Limits(name="bank", at_once=1), Limits(name="register", at_once=1)
    taken = claims.take(names, limited=[Limited(register, names[:2]), Limited(bank, names[2:4])])
    assert taken.claimed == {names[0], names[2], *names[4:]}
    assert set(taken.deferred) == {names[1], names[3]}


def test_types_without_limits_leave_no_trace(store: WorkflowStore, claims: Claims) -> None:
    names = crowd(store, 2)
    assert claims.claim(names) == set(names)
    assert store.query("SELECT count(*) FROM activity_limits") == [(0,)]
    assert LimitsCompanion().along([ended(None), ended(None, FailureClass.TRANSIENT)]) == ()


# --- the breaker ----------------------------------------------------------------------------------------------------

BREAKING = Limits(name="bank", breaker=Breaker(share=0.5, over=4, open_for=timedelta(seconds=10)))


def test_it_opens_on_failures_that_pass_and_defers(store: WorkflowStore, claims: Claims, clock: DatabaseClock) -> None:
    record(store, BREAKING, FailureClass.TRANSIENT, FailureClass.TIMEOUT, None)
    record(store, BREAKING, None)
    names = crowd(store, 3)
    taken = take(claims, BREAKING, names)
    assert not taken.claimed
    instants = [at for _, at in deferred(store)]
    assert min(instants) > clock.at + 10
    assert len(set(instants)) == 3


def test_failures_that_are_the_workflows_own_do_not_open_it(store: WorkflowStore, claims: Claims) -> None:
    record(
        store, BREAKING, *[FailureClass.PERMANENT, FailureClass.INVALID, FailureClass.BUG, FailureClass.REJECTED] * 3
    )
    (name,) = crowd(store, 1)
    assert take(claims, BREAKING, [name]).claimed == {name}


def test_after_its_time_one_at_a_time_and_a_success_closes_it(
    store: WorkflowStore, claims: Claims, clock: DatabaseClock
) -> None:
    record(store, BREAKING, *[FailureClass.RATE_LIMITED] * 4)
    names = crowd(store, 5)
    take(claims, BREAKING, names)
    clock.at += 11
    assert len(take(claims, BREAKING, names).claimed) == 1
    assert len(take(claims, BREAKING, names).claimed) == 0
    with store.transaction() as cursor:
        cursor.execute("UPDATE inbox SET state = 'done' WHERE state = 'claimed'")
    record(store, BREAKING, FailureClass.TRANSIENT)
    clock.at += 9
    assert len(take(claims, BREAKING, names).claimed) == 0
    clock.at += 2
    assert len(take(claims, BREAKING, names).claimed) == 1
    record(store, BREAKING, None)
    assert len(take(claims, BREAKING, names).claimed) == 3


def test_what_attempts_last_sets_how_far_apart_the_others_come(
    store: WorkflowStore, claims: Claims, clock: DatabaseClock
) -> None:
    limits = Limits(name="bank", at_once=2)
    companion = LimitsCompanion()
    for _ in range(60):
        (along,) = companion.along([ended(limits, seconds=10.0)])
        with store.transaction() as cursor:
            along.run(cursor)
    names = crowd(store, 5)
    take(claims, limits, names)
    first, second, _ = [at for _, at in deferred(store)]
    assert second - first == pytest.approx(4.0, rel=0.01)


def test_refused_outcomes_are_not_counted(store: WorkflowStore) -> None:
    turn = [ended(BREAKING, FailureClass.TRANSIENT)]
    turn[0].error = ValueError  # type: ignore[assignment]  # whatever it is
    assert LimitsCompanion().along(turn) == ()


def test_the_questions_are_answered_by_index(store: WorkflowStore) -> None:
    questions = [
        "SELECT count(*) FROM inbox WHERE limited = 'bank' AND state = 'claimed'",
        "SELECT message_id FROM inbox WHERE limited = 'bank' AND state = 'open' AND due_at > 1.0 AND due_at <= 2.0",
        "SELECT 1 FROM inbox WHERE limited = '' AND state = 'open' AND due_at IS NOT NULL ORDER BY due_at DESC LIMIT 5",
    ]
    plans = [str(store.query(f"EXPLAIN QUERY PLAN {question}")) for question in questions]
    assert ["inbox_limited" in plans[0], "inbox_deferred" in plans[1], "inbox_deferred" in plans[2]] == [True] * 3
    assert "SCAN" not in "".join(plans)
    assert "TEMP B-TREE" not in "".join(plans)
