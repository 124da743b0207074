"""Two runs side by side: the first point where they part, and what differed there; time, ids and people are nothing."""

from __future__ import annotations

from typing import Any

import pytest

from domain.definitions import Definition, Step
from domain.failures import FailureClass
from domain.forking import cut_at
from domain.plan import ref
from domain.policies import Condition, GatePolicy
from domain.state import STATE
from domain.triggers import ForkWorkflow
from projections.replaying.parting import Comparison, What, compare
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
