"""What a fork would do again, and what it would miss, as it is told before it is begun."""

from __future__ import annotations

from domain.definitions import Step
from domain.forking import cut_at
from domain.plan import ChildSpec
from domain.recorded import RecordedEvent
from domain.state import Status
from projections.forking import MOST_LISTED, Forecast, Gone, forecast
from tests.unit.domain.recipes import act, define, pay, planner, policy, reserve
from tests.unit.domain.scenario import TRANSIENT, Scenario, given


def told(source: Scenario, at: int, **family: list[RecordedEvent]) -> Forecast:
    """What is told of a fork of this workflow after an event."""
    return forecast(source.history, cut_at(source.history, at), family.get)


def again(found: Forecast) -> list[tuple[str, str, list[str]]]:
    """Each step that would run again: its name, its effect, and how its attempts ended."""
    return [(one.step, one.effect, [tried.outcome for tried in one.attempts]) for one in found.repeated]


def test_what_ran_behind_the_cut_is_done_a_second_time_and_what_had_settled_is_not() -> None:
    source = given(define(act("look"), pay(), act("tell"))).ok("look").ok("pay").ok("tell").status_is(Status.COMPLETED)
    first = told(source, 3)
    assert again(first) == [("look", "pure", ["ok"]), ("pay", "once", ["ok"]), ("tell", "pure", ["ok"])]
    assert [one.once for one in first.repeated] == [False, True, False]
    assert (first.kept, first.gone, first.harmless) == ((), (), False)
    later = told(source, 7)
    assert again(later) == [("tell", "pure", ["ok"])]
    assert later.kept == ("look", "pay")
    assert told(source, source.state.version).harmless


def test_attempts_before_the_cut_of_a_step_that_was_open_there_are_told_too() -> None:
    source = given(define(reserve(), act("tell"))).fails("reserve", TRANSIENT).later(60).wakes().ok("reserve")
    (one, *_) = told(source, 5).repeated
    assert [(tried.attempt, tried.version, tried.outcome) for tried in one.attempts] == [
        (1, 3, "failed (transient)"),
        (2, 6, "ok"),
    ]


def test_how_attempts_ended_is_in_words() -> None:
    unknown = given(define(pay(), act("tell"))).lapses("pay")
    assert again(told(unknown, 3)) == [("pay", "once", ["outcome unknown"])]
    absent = given(define(pay(), act("tell"))).lapses("pay").settled("pay", applied=False)
    assert again(told(absent, 3))[0][2][0] == "not applied"
    supplied = given(define(act("look"), act("tell"), on_failure="intervene")).fails("look").supplied("look", 1)
    assert again(told(supplied, 3))[0] == ("look", "pure", ["output supplied by oscar"])
    asked = given(define(act("look"), act("tell"))).needs_approval("look")
    assert again(told(asked, 3)) == [("look", "pure", ["asked for an approval"])]
    late = given(define(reserve(), act("tell"))).lapses("reserve").ok("reserve", attempt=1)
    assert again(told(late, 3))[0][2][0] == "ok, reported late"
    under_way = given(define(act("look")))
    assert again(told(under_way, 3)) == [("look", "pure", ["under way"])]


def test_what_nobody_had_begun_is_not_done_a_second_time() -> None:
    source = given(define(reserve(), act("tell"))).left_open().cancelled()
    assert told(source, 3).harmless
    waiting = given(define(Step("pay", pay(), approval="default"), approvals=[policy()]))
    assert told(waiting, waiting.state.version).harmless


def test_what_has_been_undone_since_is_missed_with_the_cut_that_has_it_done_again() -> None:
    source = given(define(act("look"), reserve(), act("tell"))).ok("look").ok("reserve").fails("tell").ok("reserve")
    source.status_is(Status.COMPENSATED)
    found = told(source, 7)
    undone = next(one.originator_version for one in source.history if one.name == "CompensationScheduled")
    assert found.gone == (Gone("reserve", undone, 5),)
    assert [(one.step, one.undone) for one in found.repeated] == [("tell", False)]
    earlier = told(source, 5)
    assert earlier.gone == ()
    assert [(one.step, one.undone) for one in earlier.repeated] == [("reserve", True), ("tell", False)]


def test_an_effect_that_a_person_accepted_as_it_is_stands() -> None:
    source = given(define(reserve(), act("tell"))).ok("reserve").fails("tell").fails("reserve").skipped("reserve")
    assert told(source, 5).gone == ()


def test_a_planner_is_asked_again_and_may_plan_otherwise() -> None:
    one = {"steps": [{"id": "look", "activity": "look"}], "done": False}
    two = {"steps": [{"id": "tell", "activity": "tell"}], "done": True}
    source = given(define(planner=planner(), activities=[act("look"), act("tell")])).ok("_plan", one).ok("look")
    cut = source.state.version
    source.ok("_plan", two).ok("tell")
    found = told(source, cut)
    assert again(found) == [("_plan", "pure", ["ok"]), ("tell", "pure", ["ok"])]
    assert [one.maybe for one in found.repeated] == [False, True]
    assert len(found.repeated[0].attempts) == 1, "the plan that was made before the cut is not made again"


def test_all_that_a_child_did_is_done_by_a_child_of_the_fork() -> None:
    source = given(define(Step("enrol", child=ChildSpec(definition="child")), act("tell")))
    child = Scenario(define(pay(), act("tell")), "wf_001.enrol").started().ok("pay")
    found = told(source, 3, **{"wf_001.enrol": child.history})
    assert [(one.workflow, one.step, one.child) for one in found.repeated] == [
        ("wf_001", "enrol", "wf_001.enrol"),
        ("wf_001.enrol", "pay", None),
        ("wf_001.enrol", "tell", None),
    ]
    assert [one.step for one in told(source, 3).repeated] == ["enrol"], "one that has not begun did nothing"
    source.child_ends("enrol")
    assert [one.step for one in told(source, source.state.version).repeated] == ["tell"]


def test_the_list_has_a_bound() -> None:
    many = [act(f"step{number}") for number in range(MOST_LISTED - 1)]
    steps = [
        Step("enrol", child=ChildSpec(definition="child"), after=()),
        *(Step(one.name, one, after=()) for one in many),
    ]
    source = given(define(*steps, parallel=MOST_LISTED))
    assert told(source, source.state.version).more is False
    child = Scenario(define(act("look")), "wf_001.enrol").started()
    found = told(source, source.state.version, **{"wf_001.enrol": child.history})
    assert (len(found.repeated), found.more) == (MOST_LISTED, True)
