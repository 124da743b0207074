"""Stuckness, cause by cause: what is within its time is not stuck, a moment later it is, and by nothing else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.causes import Cause, Stuck
from projections.moves import APPROVAL_EXPIRED, COMPENSATION_FAILED, DEAD_LETTERED, DEFINITION_MISSING
from projections.rows import UNDO, Hold, Standing, Trouble, WorkflowRow
from projections.stuck import (
    LOOK_AGAIN,
    LOOK_SOON,
    LOST_AFTER,
    CommandFacts,
    Facts,
    Judgement,
    QueueFacts,
    first_look,
    judge,
    rounded,
    still,
)
from projections.thresholds import SHIPPED, Limits, Thresholds
from projections.views import fold
from tests.unit.projections.histories import FIXED, PLANNED, history

BEGUN = datetime(2030, 1, 1, 12, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)
AS_SHIPPED = Thresholds()

COMMAND = "wf_1/pay/run/1"
LIVE = Hold(BEGUN, BEGUN + timedelta(hours=24), COMMAND, "pay", "payments")
CONSUMED = {"payments": QueueFacts(consumers=2, messages=5)}
EMPTY = {"payments": QueueFacts(consumers=2)}
NOBODY = {"payments": QueueFacts(consumers=0, messages=5)}
OPEN = {COMMAND: CommandFacts("open")}
TROUBLED = Standing(live={"pay": LIVE}, planning=False, troubles={"pay": Trouble(BEGUN, activity="pay")})
CLAIMED = {COMMAND: CommandFacts("claimed", lease_until=BEGUN + timedelta(hours=1))}
DEAD = {"pay": Trouble(BEGUN, DEAD_LETTERED)}
LACKING = {"pay": Trouble(BEGUN, DEFINITION_MISSING, "pay")}


def row(standing: Standing) -> WorkflowRow:
    standing.planning = False
    return WorkflowRow("wf_1", 7, "orders", changed_at=BEGUN, standing=standing)


def waits(key: str, due_at: datetime | None = None) -> Standing:
    return Standing(waits={key: Hold(BEGUN, due_at)})


SECONDS = {name: limit.total_seconds() for name, limit in SHIPPED.items()}
START, CONSUMER, LEASE = SECONDS["start"], SECONDS["consumer"], SECONDS["lease"]
TIMER, PARKED, RETRYING = SECONDS["timer"], SECONDS["parked"], SECONDS["retrying"]
DUE = BEGUN + timedelta(hours=1)
HOUR = 3_600.0

CASES = {
    "no consumer": (Standing(live={"pay": LIVE}), Facts(OPEN, NOBODY), Cause.NO_CONSUMER, CONSUMER),
    "foreign, no consumer": (
        Standing(live={"pay": LIVE}),
        Facts({COMMAND: CommandFacts("handed_over")}, NOBODY),
        Cause.NO_CONSUMER,
        CONSUMER,
    ),
    "backlog": (Standing(live={"pay": LIVE}), Facts(OPEN, CONSUMED), Cause.BACKLOG, START),
    "backlog, broker not asked": (Standing(live={"pay": LIVE}), Facts(OPEN), Cause.BACKLOG, START),
    "backlog, foreign": (
        Standing(live={"pay": LIVE}),
        Facts({COMMAND: CommandFacts("handed_over")}, CONSUMED),
        Cause.BACKLOG,
        START,
    ),
    "held back by a limit": (
        Standing(live={"pay": LIVE}),
        Facts({COMMAND: CommandFacts("open", issued=9, deferred=True)}, NOBODY),
        Cause.BACKLOG,
        START,
    ),
    "lost": (
        Standing(live={"pay": LIVE}),
        Facts({COMMAND: CommandFacts("open", issued=3)}, EMPTY),
        Cause.COMMAND_LOST,
        CONSUMER,
    ),
    "nothing under way": (Standing(), Facts(), Cause.COMMAND_LOST, START),
    "lapsed": (Standing(live={"pay": LIVE}), Facts(CLAIMED), Cause.LEASE_LAPSED, HOUR + LEASE),
    "retrying, under way": (TROUBLED, Facts(CLAIMED), Cause.RETRYING_TOO_LONG, RETRYING),
    "retrying, between attempts": (
        Standing(pending={"retry:pay": Hold(BEGUN, DUE)}, troubles={"pay": Trouble(BEGUN)}),
        Facts(),
        Cause.RETRYING_TOO_LONG,
        RETRYING,
    ),
    "dead-lettered again and again": (
        Standing(pending={"retry:pay": Hold(BEGUN, DUE)}, troubles=DEAD),
        Facts(),
        Cause.DEAD_LETTERED,
        RETRYING,
    ),
    "dead-lettered, a person is asked": (
        Standing(waits={"pay:intervention": Hold(BEGUN)}, troubles=DEAD),
        Facts(),
        Cause.DEAD_LETTERED,
        0.0,
    ),
    "parked": (
        Standing(live={"pay": LIVE}),
        Facts(OPEN, NOBODY, parked={"wf_1": BEGUN}),
        Cause.COMMAND_PARKED,
        PARKED,
    ),
    "retry overdue": (Standing(pending={"retry:pay": Hold(BEGUN, DUE)}), Facts(), Cause.TIMER_OVERDUE, HOUR + TIMER),
    "time overdue": (waits("nap:time", due_at=DUE), Facts(), Cause.TIMER_OVERDUE, HOUR + TIMER),
    "timer not fired": (waits("call:signal"), Facts(due={"wf_1": DUE}), Cause.TIMER_OVERDUE, HOUR + TIMER),
    "approval past its deadline": (
        waits("pay:approval", due_at=DUE),
        Facts(due={"wf_1": BEGUN}),
        Cause.APPROVAL_OVERDUE,
        HOUR + TIMER,
    ),
    "approval without one": (
        waits("pay:approval"),
        Facts(),
        Cause.APPROVAL_OVERDUE,
        SECONDS["approval"],
    ),
    "approval expired": (
        Standing(waits={"pay:intervention": Hold(BEGUN)}, troubles={"pay": Trouble(BEGUN, APPROVAL_EXPIRED)}),
        Facts(),
        Cause.APPROVAL_OVERDUE,
        0.0,
    ),
    "outcome unknown": (waits("pay:outcome_unknown"), Facts(), Cause.OUTCOME_UNKNOWN, 0.0),
    "intervention": (waits("pay:intervention"), Facts(), Cause.INTERVENTION_NEEDED, 0.0),
    "budget": (waits(":budget"), Facts(), Cause.INTERVENTION_NEEDED, 0.0),
    "compensation failed": (
        Standing(
            compensating=True,
            undoing="pay",
            waits={"pay:intervention": Hold(BEGUN)},
            troubles={UNDO: Trouble(BEGUN, COMPENSATION_FAILED)},
        ),
        Facts(),
        Cause.COMPENSATION_FAILED,
        0.0,
    ),
    "definition missing": (
        Standing(live={"pay": LIVE}, waits={":definition": Hold(BEGUN)}),
        Facts(OPEN, NOBODY, parked={"wf_1": BEGUN}, due={"wf_1": BEGUN}),
        Cause.DEFINITION_MISSING,
        SECONDS["definition"],
    ),
    "definition missing where it is run, and not where it is decided": (
        Standing(live={"pay": LIVE}, troubles=LACKING),
        Facts({COMMAND: CommandFacts("open", issued=9)}, EMPTY),
        Cause.DEFINITION_MISSING,
        SECONDS["definition"],
    ),
    "definition missing, said once more": (
        Standing(live={"pay": LIVE}, waits={":definition": Hold(BEGUN + timedelta(seconds=30))}, troubles=LACKING),
        Facts({COMMAND: CommandFacts("open", issued=9)}, EMPTY),
        Cause.DEFINITION_MISSING,
        SECONDS["definition"],
    ),
    "definition missing where the relay is": (
        waits("child:child"),
        Facts(unasked={"wf_1": BEGUN}),
        Cause.DEFINITION_MISSING,
        SECONDS["definition"],
    ),
    "definition missing before, and nobody consumes now": (
        Standing(live={"pay": LIVE}, troubles=LACKING),
        Facts(OPEN, NOBODY),
        Cause.NO_CONSUMER,
        CONSUMER,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_cause_from_its_threshold_on_and_not_before(case: str) -> None:
    standing, facts, cause, after = CASES[case]
    stuck_from = BEGUN + timedelta(seconds=after)
    before = judge(row(standing), facts, stuck_from - MOMENT, AS_SHIPPED)
    assert before.stuck is None
    assert before.look_at is not None
    assert before.look_at <= max(stuck_from, stuck_from - MOMENT + timedelta(seconds=15))
    stuck = judge(row(standing), facts, stuck_from, AS_SHIPPED).stuck
    assert stuck is not None
    assert stuck.cause is cause


@pytest.mark.parametrize("case", CASES)
def test_it_is_looked_at_in_time_whatever_is_known_beside(case: str) -> None:
    standing, facts, _, after = CASES[case]
    looked = first_look(row(standing), AS_SHIPPED)
    if case != "timer not fired":  # the waits of a workflow that has one say so themselves
        assert looked is not None
        assert looked <= BEGUN + timedelta(seconds=after)
    assert facts is not None


def test_every_cause_but_those_from_elsewhere_has_a_case() -> None:
    assert {case[2] for case in CASES.values()} == set(Cause) - {Cause.REPLAY_MISMATCH, Cause.PROJECTION_LAG}


def test_a_history_that_is_decided_otherwise_now_is_stuck_even_when_it_has_ended() -> None:
    ended = row(Standing(ended="completed"))
    assert judge(ended, Facts(), DUE, AS_SHIPPED).stuck is None
    stuck = judge(ended, Facts(mismatched={"wf_1": BEGUN}), DUE, AS_SHIPPED).stuck
    assert stuck == Stuck(Cause.REPLAY_MISMATCH, BEGUN, key="replay_mismatch")


@pytest.mark.parametrize(
    "standing",
    [
        Standing(paused=True, waits={"pay:intervention": Hold(BEGUN)}),
        Standing(ended="failed"),
        waits("pay:approval", due_at=BEGUN + timedelta(days=30)),
        waits("call:signal"),
        waits("child:child"),
        Standing(live={"pay": LIVE}),
    ],
    ids=["paused", "ended", "a person in time", "a signal", "a child", "an attempt under way"],
)
def test_what_is_no_trouble(standing: Standing) -> None:
    facts = Facts({COMMAND: CommandFacts("claimed", lease_until=BEGUN + timedelta(days=9))}, NOBODY)
    assert judge(row(standing), facts, BEGUN + timedelta(days=7), AS_SHIPPED).stuck is None


def test_the_hold_that_is_there_the_longest_says_why() -> None:
    standing = Standing(
        waits={"a:intervention": Hold(BEGUN + timedelta(hours=1)), "b:outcome_unknown": Hold(BEGUN)},
        live={"pay": LIVE},
    )
    stuck = judge(row(standing), Facts(CLAIMED), BEGUN + timedelta(hours=1), AS_SHIPPED).stuck
    assert stuck == Stuck(Cause.OUTCOME_UNKNOWN, BEGUN, "b", "b:outcome_unknown")
    assert still(row(standing), stuck)
    del standing.waits["b:outcome_unknown"]
    assert not still(row(standing), stuck)


@pytest.mark.parametrize("why", ["", DEAD_LETTERED])
def test_what_holds_the_next_attempt_up_says_more_than_that_the_step_failed_before(why: str) -> None:
    later = BEGUN + timedelta(hours=1)
    troubles = {"pay": Trouble(BEGUN - timedelta(hours=1), why, activity="pay")}
    under_way = row(Standing(live={"pay": LIVE}, troubles=troubles))
    for facts, cause in (
        (Facts(OPEN, NOBODY), Cause.NO_CONSUMER),
        (Facts(OPEN, CONSUMED), Cause.BACKLOG),
        (Facts({COMMAND: CommandFacts("claimed", lease_until=BEGUN)}, CONSUMED), Cause.LEASE_LAPSED),
        (Facts(CLAIMED, CONSUMED), Cause.DEAD_LETTERED if why else Cause.RETRYING_TOO_LONG),
    ):
        stuck = judge(under_way, facts, later, AS_SHIPPED).stuck
        assert stuck is not None
        assert stuck.cause is cause
    between = row(Standing(pending={"retry:pay": Hold(BEGUN, BEGUN)}, troubles=troubles))
    overdue = judge(between, Facts(), later, AS_SHIPPED).stuck
    assert overdue is not None
    assert overdue.cause is Cause.TIMER_OVERDUE


@pytest.mark.parametrize(
    ("queues", "cause"), [(NOBODY, Cause.NO_CONSUMER), (EMPTY, Cause.COMMAND_LOST), (CONSUMED, Cause.BACKLOG)]
)
def test_what_the_broker_said_before_the_time_was_over_says_nothing_of_its_end(
    queues: dict[str, QueueFacts], cause: Cause
) -> None:
    threshold = SECONDS["start" if cause is Cause.BACKLOG else "consumer"]
    over, standing = BEGUN + timedelta(seconds=threshold), Standing(live={"pay": LIVE})
    now = over + timedelta(seconds=9)
    issued = {COMMAND: CommandFacts("open", issued=3)}

    def at(asked_at: datetime) -> Judgement:
        return judge(
            row(standing), Facts(issued, {"payments": replace(queues["payments"], asked_at=asked_at)}), now, AS_SHIPPED
        )

    early, late = at(over - MOMENT), at(over)
    assert early.stuck is None
    assert early.look_at is not None
    assert early.look_at - now <= timedelta(seconds=1)
    assert late.stuck is not None
    assert late.stuck.cause is cause


def test_a_queue_without_consumers_counts_from_when_they_went() -> None:
    """A consumer that is begun again must not have everything that waits called stuck."""
    gone = BEGUN + timedelta(minutes=3)
    facts = Facts(OPEN, {"payments": QueueFacts(0, 5, unserved_since=gone)})
    over = gone + timedelta(seconds=CONSUMER)
    assert judge(row(Standing(live={"pay": LIVE})), facts, over - MOMENT, AS_SHIPPED).stuck is None
    stuck = judge(row(Standing(live={"pay": LIVE})), facts, over, AS_SHIPPED).stuck
    assert stuck == Stuck(Cause.NO_CONSUMER, gone, "pay", COMMAND)


def test_a_command_is_lost_only_when_its_queue_has_been_empty_for_a_while() -> None:
    """A consumer that has just taken it, and has no room for it yet, needs a moment to say so."""
    emptied = BEGUN + timedelta(minutes=3)
    facts = Facts({COMMAND: CommandFacts("open", issued=3)}, {"payments": QueueFacts(2, empty_since=emptied)})
    over = emptied + LOST_AFTER
    before = judge(row(Standing(live={"pay": LIVE})), facts, over - MOMENT, AS_SHIPPED)
    assert before.stuck is None
    assert before.look_at == over
    stuck = judge(row(Standing(live={"pay": LIVE})), facts, over, AS_SHIPPED).stuck
    assert stuck == Stuck(Cause.COMMAND_LOST, BEGUN, "pay", COMMAND)


@pytest.mark.parametrize("phase", range(0, 100, 7))
def test_a_lost_command_is_found_within_20_s_wherever_the_rounds_of_judging_fall(phase: int) -> None:
    """Judged as it is in a process: every 5 s, if it is due by then, with what the broker said every 10 s."""
    soon = timedelta(seconds=2)
    thresholds = Thresholds(activities={"pay": Limits(consumer=soon)})
    begun = BEGUN + timedelta(seconds=phase / 10)
    waiting = row(Standing(live={"pay": replace(LIVE, since=begun)}))
    first = first_look(waiting, thresholds)
    assert first is not None
    look_at = rounded(first)
    for second in range(1, 60):
        now = BEGUN + timedelta(seconds=second)
        if second % 5 != phase % 5 or look_at > now:
            continue
        issued = int((now - begun).total_seconds() // 4)
        heard = BEGUN + timedelta(seconds=second - second % 10)
        queues = {"payments": QueueFacts(2, asked_at=heard, empty_since=BEGUN - timedelta(minutes=1))}
        judged = judge(waiting, Facts({COMMAND: CommandFacts("open", issued)}, queues), now, thresholds)
        if judged.stuck is not None:
            assert judged.stuck.cause is Cause.COMMAND_LOST
            assert now - begun - soon <= timedelta(seconds=20)
            return
        assert judged.look_at is not None
        look_at = rounded(judged.look_at)
    pytest.fail("it was never found")


@pytest.mark.parametrize(
    ("command", "queue", "after"),
    [
        (CommandFacts("open"), QueueFacts(2), timedelta(seconds=50)),
        (CommandFacts("open", issued=1), QueueFacts(2), timedelta(minutes=4)),
    ],
)
def test_a_command_that_may_be_lost_is_looked_at_soon(
    command: CommandFacts, queue: QueueFacts, after: timedelta
) -> None:
    waiting, now = row(Standing(live={"pay": LIVE})), BEGUN + after
    judged = judge(waiting, Facts({COMMAND: command}, {"payments": queue}), now, AS_SHIPPED)
    assert judged == Judgement(None, now + LOOK_SOON)


@pytest.mark.parametrize(
    ("command", "queue", "after"),
    [
        (CommandFacts("open", issued=1), QueueFacts(2, messages=5), timedelta(seconds=50)),
        (CommandFacts("open", issued=1, deferred=True), QueueFacts(2), timedelta(seconds=50)),
        (CommandFacts("handed_over", issued=1), QueueFacts(2), timedelta(seconds=50)),
        (CommandFacts("open"), QueueFacts(2), timedelta(minutes=2)),
        (CommandFacts("open", issued=3), QueueFacts(2), timedelta(minutes=2)),
    ],
)
def test_a_command_of_which_it_is_known_where_it_is_or_what_it_is_held_by_is_looked_at_as_rarely_as_ever(
    command: CommandFacts, queue: QueueFacts, after: timedelta
) -> None:
    waiting, now = row(Standing(live={"pay": LIVE})), BEGUN + after
    judged = judge(waiting, Facts({COMMAND: command}, {"payments": queue}), now, AS_SHIPPED)
    assert judged.look_at == now + LOOK_AGAIN


@pytest.mark.parametrize("name", ["consumer", "start", "lease", "parked"])
def test_the_first_look_is_in_time_for_whatever_is_set(name: str) -> None:
    soon = timedelta(seconds=2)
    thresholds = Thresholds(activities={"pay": Limits(**{name: soon})})
    assert first_look(row(Standing(live={"pay": LIVE})), thresholds) == BEGUN + soon


def test_a_step_that_is_tried_again_stays_stuck_through_its_attempts() -> None:
    stuck = judge(row(TROUBLED), Facts(CLAIMED), BEGUN + timedelta(hours=1), AS_SHIPPED).stuck
    assert stuck is not None
    between = Standing(pending={"retry:pay": Hold(BEGUN, DUE)}, troubles=TROUBLED.troubles)
    assert still(row(between), stuck)
    assert not still(row(Standing(live={"pay": LIVE})), stuck)


def test_that_the_broker_did_not_say_how_the_queue_of_a_waiting_command_is_goes_with_the_judgement() -> None:
    waiting = row(Standing(live={"pay": LIVE}))
    for facts, unheard in (
        (Facts(OPEN), True),
        (Facts(OPEN, NOBODY), False),
        (Facts(OPEN, CONSUMED), False),
        (Facts(CLAIMED), False),
        (Facts(), False),
    ):
        for later in (MOMENT, timedelta(days=1)):
            assert judge(waiting, facts, BEGUN + later, AS_SHIPPED).unheard is unheard


def test_what_is_set_goes_before_what_is_learnt_and_an_activity_before_its_definition() -> None:
    hour, day, week = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
    thresholds = Thresholds(
        definitions={"orders": Limits(start=day, approval=week)},
        activities={"pay": Limits(start=hour)},
        learnt={"pay": Limits(start=week, retrying=week), "ship": Limits(start=week)},
    )
    assert thresholds.of("start", "orders", "pay") == hour
    assert thresholds.of("start", "orders", "ship") == day
    assert thresholds.of("start", "other", "ship") == week
    assert thresholds.of("retrying", "orders", "pay") == week
    assert thresholds.of("approval", "orders") == week
    assert thresholds.of("consumer", "orders", "pay") == SHIPPED["consumer"]
    for_all = replace(thresholds, default=Limits(start=hour, retrying=day))
    assert for_all.of("start", "other", "ship") == hour
    assert for_all.of("retrying", "orders", "pay") == day
    assert for_all.of("start", "orders", "ship") == day


@given(seed=st.integers(0, 2**32), definition=st.sampled_from([FIXED, PLANNED]), later=st.integers(0, 100_000))
@settings(max_examples=100, deadline=None)
def test_any_history_is_judged_and_looked_at_later(seed: int, definition: object, later: int) -> None:
    folded = WorkflowRow("wf_001")
    for recorded in history(seed, 60, FIXED if definition is FIXED else PLANNED):
        fold(folded, recorded)
        now = recorded.timestamp + timedelta(seconds=later)
        judged = judge(folded, Facts(), now, AS_SHIPPED)
        assert judged.look_at is None or judged.look_at > now
        if judged.stuck is not None and judged.stuck.key not in {"timer", "deadline", "nothing"}:
            assert still(folded, judged.stuck)
            looked = first_look(folded, AS_SHIPPED)
            assert looked is not None
            assert looked <= now


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - bounds
def test_looks_are_rounded_to_a_little_later(moment: datetime) -> None:
    assert moment <= rounded(moment) < moment + timedelta(seconds=10)
    assert rounded(rounded(moment)) == rounded(moment)
