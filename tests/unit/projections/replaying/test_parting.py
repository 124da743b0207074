"""Two runs side by side: the first point where they part, and what differed there; time, ids and people are nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from domain.definitions import Definition, Step
from domain.events import PlanProposed
from domain.failures import FailureClass
from domain.forking import cut_at
from domain.plan import ref
from domain.policies import Condition, GatePolicy
from domain.state import STATE
from domain.triggers import ForkWorkflow
from projections.replaying.parting import Comparison, What, compare
from projections.replaying.ways import apart, parts_of, way_differences
from tests.unit.domain.recipes import act, define, planner, policy, reserve
from tests.unit.domain.scenario import TRANSIENT, Scenario, failure

PLAIN = define(act("look"), reserve(), act("tell"))
DEAR = GatePolicy(
    name="dear",
    steps=("pay",),
    when=(Condition(path="n", op=">", value=5),),
    verdict="require_approval",
    approval="board",
)
GATED = define(
    act("look"), Step("pay", act("pay"), input={"n": ref("input.n")}), gates=[DEAR], approvals=[policy("board")]
)
WIDE = define(Step("left", act("left"), after=()), Step("right", act("right"), after=()))


def here(definition: Definition = PLAIN, **start: Any) -> Scenario:
    return Scenario(definition, "wf_001").started(**start)


def there(definition: Definition = PLAIN, **start: Any) -> Scenario:
    return Scenario(definition, "wf_002").later(hours=5).started(**start)


def compared(one: Scenario, other: Scenario) -> Comparison:
    return compare(one.history, other.history)


def parted(one: Scenario, other: Scenario) -> tuple[What, int | None, int | None]:
    point = compared(one, other).parting
    assert point is not None
    return point.what, point.here, point.there


def test_time_ids_workers_and_people_are_no_differences() -> None:
    one = here().ok("look", worker="a").later(5).ok("reserve").later(9).ok("tell")
    other = there(requested_by="somebody").ok("look", worker="b").ok("reserve").paused().later(7).resumed().ok("tell")
    found = compared(one, other)
    assert (found.same, found.first, found.parting, found.data) == (True, None, None, ())
    assert found.events == 9


def test_who_decided_and_what_was_refused_are_no_differences() -> None:
    one = here(GATED, input={"n": 9}).ok("look").approves("pay", by="ann").ok("pay")
    other = there(GATED, input={"n": 9}).ok("look").approves("pay", by="rita").approves("pay", by="bob").ok("pay")
    assert compared(one, other).same


def test_another_outcome() -> None:
    one, other = here().ok("look").fails("reserve"), there().ok("look").ok("reserve").ok("tell")
    assert parted(one, other) == (What.OUTCOME, 6, 6)
    assert parted(other, one) == (What.OUTCOME, 6, 6)


def test_a_retry_more() -> None:
    one = here().fails("look", TRANSIENT).later(9).wakes().ok("look")
    assert parted(one, there().ok("look")) == (What.OUTCOME, 4, 4)


def test_another_failure_of_the_same_step() -> None:
    point = compared(here().fails("look"), there().fails("look", failure(FailureClass.INVALID, "bad"))).parting
    assert point is not None
    assert (point.what, point.here) == (What.OUTCOME, 4)
    assert "/failure/kind" in {one.path for one in point.differences}


def test_a_policys_verdict_with_the_input_that_explains_it() -> None:
    one = here(GATED, input={"n": 9}).ok("look")
    found = compared(one, there(GATED, input={"n": 1}).ok("look").ok("pay"))
    assert found.parting is not None
    assert (found.parting.what, found.parting.here, found.parting.step) == (What.POLICY, 5, "pay")
    data, same_input_of_the_first_step = found.data
    assert same_input_of_the_first_step.here == 3
    assert (data.what, data.here) == (What.INPUT, 1)
    assert [(one.path, one.recorded, one.decided) for one in data.differences] == [("/input/n", 9, 1)]
    assert found.first is data
    assert not found.same


def test_another_decision() -> None:
    asked = {"input": {"n": 9}}
    one = here(GATED, **asked).ok("look").rejects("pay")
    assert parted(one, there(GATED, **asked).ok("look").approves("pay").ok("pay")) == (What.DECISION, 7, 7)


def test_another_plan() -> None:
    planned = define(planner=planner(), activities=[act("look"), act("tell")])
    one = here(planned).ok("_plan", {"steps": [{"id": "look", "activity": "look"}], "done": True})
    other = there(planned).ok("_plan", {"steps": [{"id": "tell", "activity": "tell"}], "done": True})
    assert parted(one, other) == (What.PLAN, 4, 4)


def test_an_operators_act() -> None:
    asks = define(act("look"), act("tell"), on_failure="intervene")
    one = here(asks).fails("look").skipped("look").ok("tell")
    assert parted(one, there(asks).fails("look").retried("look").ok("look")) == (What.OPERATOR, 7, 7)


def test_another_version_of_the_definition_is_told_beside_the_parting() -> None:
    newer = define(act("look"), reserve(), act("tell"), version="2")
    found = compared(here().ok("look"), there(newer).ok("look"))
    assert found.parting is None
    assert [(one.what, one.here) for one in found.data] == [(What.DEFINITION, 1)]


def test_outputs_that_differ_while_the_way_is_the_same() -> None:
    found = compared(here().ok("look", {"n": 1}), there().ok("look", {"n": 2}))
    assert found.parting is None
    assert [(one.what, one.here, one.step) for one in found.data] == [(What.OUTCOME, 4, "look")]


def test_one_that_has_not_come_so_far() -> None:
    assert parted(here().ok("look"), there().ok("look").ok("reserve")) == (What.UNFINISHED, None, 6)


def test_steps_beside_one_another_may_end_in_any_order_and_that_is_told() -> None:
    one, other = here(WIDE).ok("left").ok("right"), there(WIDE).ok("right").ok("left")
    found = compared(one, other)
    assert (found.parting, found.data) == (None, ())
    assert found.order is not None
    assert (found.order.what, found.order.here, found.order.there) == (What.ORDER, 5, 5)
    assert not found.same


def test_what_differs_is_found_whatever_the_order() -> None:
    found = compared(here(WIDE).ok("left").fails("right"), there(WIDE).ok("right").ok("left"))
    assert found.parting is not None
    assert (found.parting.what, found.parting.step, found.parting.here) == (What.OUTCOME, "right", 6)


@pytest.mark.parametrize("workflow_id", ["a", "wf_00123"])
def test_ids_in_texts_are_no_differences(workflow_id: str) -> None:
    planned = define(planner=planner(), activities=[act("look")])
    bad = {"steps": [{"id": "x", "activity": "unheard-of"}]}
    other = Scenario(planned, workflow_id).started().ok("_plan", bad)
    found = compared(here(planned).ok("_plan", bad), other)
    assert found.parting is None
    assert found.same is (workflow_id != "a"), "a word that every text may hold is left as it is"


def test_data_that_differ_after_the_parting_are_not_listed() -> None:
    one = here(WIDE).fails("left", TRANSIENT).ok("right", {"n": 1})
    found = compared(one, there(WIDE).ok("left").ok("right", {"n": 2}))
    assert found.parting is not None
    assert (found.parting.step, found.data) == ("left", ())
    before = compared(here(WIDE).ok("right", {"n": 1}).fails("left"), there(WIDE).ok("right", {"n": 2}).ok("left"))
    assert [one.step for one in before.data] == ["right"]


# --- a fork and its source -------------------------------------------------------------------------------------------


def fork_of(source: Scenario, at: int, **parts: Any) -> Scenario:
    assert source.definition is not None
    cut = cut_at(source.history, at)
    begun = ForkWorkflow(
        source="wf_001",
        source_version=cut.version,
        source_digest=cut.digest,
        state=STATE.dump_python(cut.state, mode="json"),
        requested_by="fred",
        **parts,
    )
    return Scenario(source.definition, "wf_fork").when(begun)


def test_a_fork_that_did_as_its_source_did_is_the_same_from_the_cut_on() -> None:
    source = here().ok("look").ok("reserve").ok("tell")
    forked = fork_of(source, 5).ok("reserve").ok("tell")
    assert compared(forked, source).same
    assert compared(source, forked).same
    assert compared(forked, source).events == len(forked.history) - 1


def test_a_fork_parts_from_its_source_where_it_does_otherwise() -> None:
    source = here().ok("look").ok("reserve").fails("tell")
    forked = fork_of(source, 7).ok("tell")
    failed = next(one.originator_version for one in source.history if one.name == "AttemptFailed")
    assert parted(forked, source) == (What.OUTCOME, 3, failed)
    assert parted(source, forked) == (What.OUTCOME, failed, 3)


def test_another_input_of_a_fork_is_told_where_it_is_used() -> None:
    source = here(GATED, input={"n": 1}).ok("look").ok("pay")
    forked = fork_of(source, 6, input={"n": 2}).ok("pay")
    found = compared(forked, source)
    assert (found.parting, [point.step for point in found.data]) == (None, ["pay"])


def test_a_fork_in_the_middle_of_planning_is_compared_from_that_round_on() -> None:
    one = {"steps": [{"id": "look", "activity": "look"}], "done": False}
    definition = define(planner=planner(), activities=[act("look")])
    source = here(definition).ok("_plan", one).ok("look")
    cut = source.state.version
    source.ok("_plan", {"steps": [], "done": True})
    forked = fork_of(source, cut).ok("_plan", {"steps": [], "done": True})
    assert compared(forked, source).same
    assert compared(source, forked).same


def test_a_fork_is_compared_with_any_other_run_from_its_beginning() -> None:
    source = here().ok("look").ok("reserve").ok("tell")
    assert parted(fork_of(source, 5), there().ok("look")) == (What.INPUT, 1, 1)


# --- plans, and what is copied from one event into the next ----------------------------------------------------------

PLANNED = define(planner=planner(), activities=[act("look"), act("peek"), act("tell")], approvals=[policy("board")])
LOOK: dict[str, Any] = {"id": "look", "activity": "look"}
TELL: dict[str, Any] = {"id": "tell", "activity": "tell", "after": ["look"]}


def proposed(scenario: Scenario, *steps: dict[str, Any], done: bool = True) -> Scenario:
    return scenario.ok("_plan", {"steps": list(steps), "done": done})


def of_plans(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> Comparison:
    return compared(proposed(here(PLANNED), *ours), proposed(there(PLANNED), *theirs))


def test_plans_that_differ_in_their_steps_inputs_go_the_same_way() -> None:
    one = proposed(here(PLANNED, input={"dir": "a"}), LOOK | {"input": {"dir": "a"}}, TELL).ok("look").ok("tell")
    other = proposed(there(PLANNED, input={"dir": "b"}), LOOK | {"input": {"dir": "b"}}, TELL).ok("look").fails("tell")
    found = compared(one, other)
    assert found.parting is not None
    assert (found.parting.what, found.parting.step, found.parting.here) == (What.OUTCOME, "tell", 8)
    assert [(point.what, point.here, point.step) for point in found.data] == [
        (What.INPUT, 1, ""),
        (What.INPUT, 3, "_plan"),
        (What.PLAN, 4, ""),
        (What.INPUT, 5, "look"),
        (What.INPUT, 7, "tell"),
    ]
    assert [(part.path, part.recorded, part.decided) for part in found.data[2].differences] == [
        ("/steps/0/input/dir", "a", "b")
    ]


DATA_OF_A_STEP: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "where an input comes from": (
        TELL | {"input": {"n": {"$ref": "steps.look.n"}}},
        TELL | {"input": {"n": {"$ref": "input.n"}}},
        "/steps/1/input/n/$ref",
    ),
    "which signal's sender": (
        {"id": "hear", "wait_signal": {"name": "papers", "correlation": "a"}},
        {"id": "hear", "wait_signal": {"name": "papers", "correlation": "b"}},
        "/steps/1/wait_signal/correlation",
    ),
    "until when it waits": (
        {"id": "rest", "wait_time": {"until": "2031-01-01T00:00:00Z"}},
        {"id": "rest", "wait_time": {"until": "2032-01-01T00:00:00Z"}},
        "/steps/1/wait_time/until",
    ),
    "a child's input": (
        {"id": "sub", "child": {"definition": "other", "input": {"n": 1}}},
        {"id": "sub", "child": {"definition": "other", "input": {"n": 2}}},
        "/steps/1/child/input/n",
    ),
    "a child's goal": (
        {"id": "sub", "child": {"definition": "other", "goal": "this"}},
        {"id": "sub", "child": {"definition": "other", "goal": "that"}},
        "/steps/1/child/goal",
    ),
}


@pytest.mark.parametrize("name", DATA_OF_A_STEP)
def test_what_a_step_works_on_is_data(name: str) -> None:
    ours, theirs, path = DATA_OF_A_STEP[name]
    found = of_plans([LOOK, ours], [LOOK, theirs])
    assert found.parting is None
    assert found.data[0].here == 4
    assert [part.path for part in found.data[0].differences] == [path]


WAY_OF_A_STEP: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "another activity": (LOOK, LOOK | {"activity": "peek"}, "/steps/0/activity", 'look: activity "look"'),
    "another dependency": (TELL, TELL | {"after": []}, "/steps/1/after", 'tell: after ["look"]'),
    "an approval": (TELL | {"approval": "board"}, TELL, "/steps/1/approval", 'tell: approval "board"'),
    "a time-out": (TELL | {"timeout": "PT5M"}, TELL, "/steps/1/timeout", 'tell: timeout "PT5M"'),
    "what a time-out does": (
        TELL | {"timeout": "PT5M", "on_timeout": "skip"},
        TELL | {"timeout": "PT5M"},
        "/steps/1/on_timeout",
        'tell: on_timeout "skip"',
    ),
    "another child": (
        {"id": "sub", "child": {"definition": "this"}},
        {"id": "sub", "child": {"definition": "that"}},
        "/steps/1/child/definition",
        'sub: child/definition "this"',
    ),
    "another signal": (
        {"id": "hear", "wait_signal": {"name": "papers", "correlation": "a"}},
        {"id": "hear", "wait_signal": {"name": "money", "correlation": "a"}},
        "/steps/1/wait_signal/name",
        'hear: wait_signal/name "papers"',
    ),
}


def test_a_step_that_stands_elsewhere_in_the_other_plan_is_called_by_its_name() -> None:
    """A path leads into the first plan, also where the second one says more of the step."""
    alone = {"id": "alone", "activity": "tell", "after": []}
    plans = [
        next(one.event for one in proposed(here(PLANNED), *steps).history if isinstance(one.event, PlanProposed))
        for steps in ([LOOK, TELL, alone], [alone | {"approval": "board"}, LOOK])
    ]
    ways = [parts_of(plan, str).way for plan in plans]
    for ours, theirs, said in (
        (0, 1, ("alone: approval nothing", 'alone: approval "board"')),
        (1, 0, ('alone: approval "board"', "alone: approval nothing")),
    ):
        found = apart(("a plan", "a plan"), (plans[ours], plans[theirs]), way_differences(ways[ours], ways[theirs]))
        assert all(words in told for words, told in zip(said, found, strict=True))
        assert all("tell" in told for told in found), "it is only in one of them"


@pytest.mark.parametrize("name", WAY_OF_A_STEP)
def test_plans_part_where_a_step_is_another_and_the_words_say_what_differs(name: str) -> None:
    ours, theirs, path, words = WAY_OF_A_STEP[name]
    before = [] if ours["id"] == "look" else [LOOK]
    point = of_plans([*before, ours], [*before, theirs]).parting
    assert point is not None
    assert (point.what, point.here, point.there) == (What.PLAN, 4, 4)
    assert [part.path for part in point.differences] == [path]
    assert words in point.here_words
    assert point.here_words != point.there_words


def test_a_step_more_is_told_as_such_and_not_every_step_behind_it() -> None:
    extra = {"id": "peek", "activity": "peek"}
    point = of_plans([extra, LOOK, TELL], [LOOK, TELL]).parting
    assert point is not None
    assert (point.what, point.here_words, point.there_words) == (
        What.PLAN,
        "plan 1: peek, look, tell",
        "plan 1: look, tell",
    )
    (more,) = point.differences
    assert (more.path, more.recorded["activity"], more.decided) == ("/steps/0", "peek", None)
    mirrored = of_plans([LOOK, TELL], [extra, LOOK, TELL]).parting
    assert mirrored is not None
    (less,) = mirrored.differences
    assert (less.path, less.recorded, less.decided["id"]) == ("/steps/0", None, "peek")


def test_a_step_more_beyond_those_that_are_named_is_in_the_words() -> None:
    many = [{"id": f"step{number}", "activity": "look"} for number in range(10)]
    other = [*many[:9], {"id": "last", "activity": "look"}]
    point = of_plans(many, other).parting
    assert point is not None
    assert "step9" in point.here_words
    assert "last" in point.there_words


def test_the_same_steps_in_another_order_part_at_the_plan() -> None:
    peek = {"id": "peek", "activity": "peek"}
    point = of_plans([LOOK, peek], [peek, LOOK]).parting
    assert point is not None
    assert [(part.path, part.recorded, part.decided) for part in point.differences] == [
        ("/steps", ["look", "peek"], ["peek", "look"])
    ]


def test_the_order_in_which_a_step_names_those_before_it_is_nothing() -> None:
    peek = {"id": "peek", "activity": "peek"}
    both = [LOOK, peek, TELL | {"after": ["look", "peek"]}], [LOOK, peek, TELL | {"after": ["peek", "look"]}]
    assert of_plans(*both).same


def test_whether_the_planner_is_asked_again_is_the_way() -> None:
    point = compared(proposed(here(PLANNED), LOOK, done=False), proposed(there(PLANNED), LOOK)).parting
    assert point is not None
    assert [part.path for part in point.differences] == ["/final"]


def test_what_an_approval_shows_is_data() -> None:
    one = here().needs_approval("look", evidence={"points": 33}, controls=("sign twice",)).approves("look")
    other = there().needs_approval("look", "another reason", evidence={"points": 66}).rejects("look")
    found = compared(one, other)
    assert found.parting is not None
    assert (found.parting.what, found.parting.here) == (What.DECISION, 5)
    assert [(point.what, point.here) for point in found.data] == [(What.DECISION, 4)]
    assert "/evidence/points" in [part.path for part in found.data[0].differences]


ALWAYS = GatePolicy(name="always", steps=("pay",), when=(), verdict="require_approval", approval="board")


def asking(*, four_eyes: bool) -> Definition:
    board = policy("board", four_eyes=four_eyes, deadline=timedelta(days=1))
    return define(act("look"), Step("pay", act("pay")), gates=[ALWAYS], approvals=[board])


def test_an_approvals_rules_are_the_way_and_the_words_say_which() -> None:
    lax, strict = asking(four_eyes=False), asking(four_eyes=True)
    point = compared(here(lax).ok("look"), there(strict).ok("look")).parting
    assert point is not None
    assert (point.what, [part.path for part in point.differences]) == (What.DECISION, ["/four_eyes"])
    assert point.here_words.endswith("(four_eyes false)")
    assert point.there_words.endswith("(four_eyes true)")


def test_what_a_rejection_says_is_data_and_who_rejected_is_nothing() -> None:
    asks = here(PLAIN).needs_approval("look").rejects("look", by="ann", reason="too much")
    assert compared(asks, there(PLAIN).needs_approval("look").rejects("look", by="bob", reason="too much")).same
    found = compared(asks, there(PLAIN).needs_approval("look").rejects("look", by="bob", reason="too late"))
    assert found.parting is None
    assert found.data[0].what is What.DECISION
    assert [(part.path, part.recorded, part.decided) for part in found.data[0].differences] == [
        ("/reason", "too much", "too late")
    ]


def test_what_an_activity_says_when_it_says_no_is_data() -> None:
    found = compared(here().denies("look", "ada is on the list"), there().denies("look", "bob is on the list"))
    assert found.parting is None
    assert [(point.what, point.here, point.step) for point in found.data][:1] == [(What.OUTCOME, 4, "look")]
    assert [part.path for part in found.data[0].differences] == ["/failure/message"]


def test_a_childs_input_and_output_are_data_and_how_it_ended_is_the_way() -> None:
    def ran(scenario: Scenario, number: int, status: str = "completed") -> Scenario:
        child = {"id": "sub", "child": {"definition": "other", "input": {"n": number}}}
        return proposed(scenario, child).child_ends("sub", status, output={"n": number})

    found = compared(ran(here(PLANNED), 1), ran(there(PLANNED), 2))
    assert found.parting is None
    assert [(point.here, point.step) for point in found.data] == [(4, ""), (5, "sub"), (6, "sub"), (7, "sub"), (8, "")]
    point = compared(ran(here(PLANNED), 1), ran(there(PLANNED), 2, "failed")).parting
    assert point is not None
    assert (point.what, point.here) == (What.OUTCOME, 6)


def test_children_of_other_steps_are_compared_as_any_other() -> None:
    one = here(parent_workflow="wf_parent", parent_step="first").ok("look")
    assert compared(one, there(parent_workflow="wf_parent", parent_step="second").ok("look")).same


def test_what_is_waited_for_is_the_way_and_what_came_is_data() -> None:
    waits = {"id": "hear", "wait_signal": {"name": "papers", "correlation": "a"}}
    one = proposed(here(PLANNED), waits).signalled("papers", "a", {"dir": "a"})
    other = proposed(there(PLANNED), waits).signalled("papers", "a", {"dir": "b"})
    found = compared(one, other)
    assert found.parting is None
    assert [part.path for part in found.data[0].differences] == ["/payload/dir"]


def test_another_reason_to_wait_is_another_way() -> None:
    small = define(act("look"), act("tell"), attempts_budget=1)
    point = compared(here(small).ok("look"), there(small).unloaded().ok("look")).parting
    assert point is not None
    assert (point.what, point.here_words) == (What.OUTCOME, "the workflow waits for further attempts")
    assert point.there_words == "the workflow waits for its definition"
    assert [part.path for part in point.differences] == ["/reason"]
