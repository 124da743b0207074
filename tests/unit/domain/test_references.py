"""A reference of a fixed plan that can lead nowhere is refused when the definition is made, before anything has run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field
from typing_extensions import TypedDict

from domain.definitions import ActivityType, Definition, Step, activity
from domain.errors import Denied, NeedsApproval
from domain.plan import ChildSpec, SignalWait, ref
from tests.unit.domain.recipes import act, define
from tests.unit.domain.test_definitions import refused


class Row(BaseModel):
    """A row."""

    letter: str


class Seat(BaseModel):
    """What booking answers."""

    number: int
    held_until: str = Field(default="", alias="heldUntil")
    row: Row | None = None
    rows: list[Row] = []
    notes: dict[str, str] = {}
    more: Any = None

    @computed_field  # type: ignore[prop-decorator] # mypy knows no property under a decorator
    @property
    def label(self) -> str:
        """For a ticket."""
        return str(self.number)


class Open(BaseModel):
    """A model that allows what it does not name."""

    model_config = ConfigDict(extra="allow")

    number: int


class Seats(RootModel[list[Seat]]):
    """Many."""


@dataclass
class Plane:
    """The same as a dataclass."""

    number: int


class Train(TypedDict):
    """The same as a typed mapping."""

    number: int


class Strange:
    """Nothing that pydantic could write a schema of."""


class Holding(BaseModel):
    """A model that holds such a thing."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    held: Strange


class Order(BaseModel):
    """An input."""

    price: float = Field(alias="thePrice")
    seat: Seat | None = None


def booking(output: Any) -> ActivityType:
    async def book(given: dict[str, Any]) -> Any:
        return given

    book.__annotations__["return"] = output
    return activity(effect="pure")(book)


def referring(path: str, output: Any = Seat, **more: Any) -> Definition:
    tell = Step("tell", act("tell"), input={"x": [{"y": ref(path)}]})
    return Definition("trip", steps=[Step("seat", booking(output)), tell], **more)


PLACE = "definition 'trip' version '1', step 'tell': "


@pytest.mark.parametrize(
    ("path", "output", "says"),
    [
        ("steps.seet.number", Seat, "reference 'steps.seet.number' names no step of this workflow: there are 'seat', "),
        ("approvals.seet", Seat, "reference 'approvals.seet' names no step of this workflow"),
        ("steps", Seat, "reference 'steps' names no step"),
        ("steps.tell", Seat, "reference 'steps.tell' names the step itself"),
        (
            "steps.seat.numbr",
            Seat,
            "the output of step 'seat' (activity 'book') has no 'numbr'; there are 'number', 'heldUntil', 'row', ",
        ),
        ("steps.seat.held_until", Seat, "has no 'held_until'; there are 'number', 'heldUntil'"),
        ("steps.seat.row.leter", Seat, "'row' in the output of step 'seat' (activity 'book') has no 'leter'"),
        ("steps.seat.rows.letter", Seat, "has no 'letter'"),
        ("steps.seat.rows.0.leter", Seat, "has no 'leter'; there are 'letter'"),
        ("steps.seat.number.digits", Seat, "has no 'digits'; nothing below it has a name"),
        ("steps.seat.numbr", Plane, "has no 'numbr'; there are 'number'"),
        ("steps.seat.numbr", Train, "has no 'numbr'; there are 'number'"),
        ("steps.seat.0.numbr", Seats, "has no 'numbr'"),
        ("steps.seat.numbr", Seat | Train, "has no 'numbr'"),
        ("steps.seat.numbr", Seat | Denied, "has no 'numbr'"),
        ("workflow.ID", Seat, "reference 'workflow.ID' leads nowhere: of the workflow there are 'id', 'requested_by'"),
    ],
)
def test_a_reference_that_can_lead_nowhere_is_named_with_what_there_is(path: str, output: Any, says: str) -> None:
    message = refused(lambda: referring(path, output))
    assert says in message
    assert message.startswith(PLACE)


@pytest.mark.parametrize(
    ("path", "output"),
    [
        ("steps.seat", Seat),
        ("steps.seat.number", Seat),
        ("steps.seat.heldUntil", Seat),
        ("steps.seat.row.letter", Seat),
        ("steps.seat.rows.1.letter", Seat),
        ("steps.seat.notes.anything", Seat),
        ("steps.seat.more.any.thing", Seat),
        ("steps.seat.label", Seat),
        ("steps.seat.anything", Open),
        ("steps.seat.anything", dict[str, Any]),
        ("steps.seat.anything", Any),
        ("steps.seat.anything", Seat | dict[str, int]),
        ("steps.seat.anything", Holding),
        ("steps.seat.1.number", Seats),
        ("steps.seat.number", Plane),
        ("steps.seat.number", Train),
        ("steps.seat.of_the_evidence", Seat | NeedsApproval),
        ("approvals.seat.decided_by.0", Seat),
        ("workflow.requested_by", Seat),
        ("tags.anything", Seat),
        ("goal", Seat),
        ("input.anything.there", Seat),
    ],
)
def test_a_reference_that_may_lead_somewhere_is_taken(path: str, output: Any) -> None:
    assert referring(path, output).plan is not None


@pytest.mark.parametrize("path", ["input", "input.thePrice", "input.seat.number", "input.seat.heldUntil"])
def test_a_field_of_the_input_model_is_taken(path: str) -> None:
    assert referring(path, input_model=Order).plan is not None


@pytest.mark.parametrize("path", ["input.prise", "input.price", "input.seat.numbr"])
def test_what_the_input_model_does_not_have_is_refused(path: str) -> None:
    message = refused(lambda: referring(path, input_model=Order))
    assert f"reference '{path}' leads nowhere" in message
    assert message.startswith(PLACE)
    assert ("there are 'thePrice', 'seat'" in message) == (path != "input.seat.numbr")


def test_an_input_model_that_allows_extras_has_any_field() -> None:
    assert referring("input.anything", input_model=Open).plan is not None


@pytest.mark.parametrize(
    "late",
    [
        lambda: define(Step("a", act("a"), input={"x": ref("steps.b")}), act("b"), name="trip"),
        lambda: define(Step("b", act("b"), after=()), Step("a", act("a"), input={"x": ref("steps.b")}, after=())),
        lambda: define(Step("a", wait_signal=SignalWait(name="n", correlation=ref("approvals.b"))), act("b")),
        lambda: define(Step("a", child=ChildSpec(definition="c", input={"x": ref("steps.b.v")})), act("b")),
    ],
)
def test_a_step_that_need_not_have_settled_is_named_with_the_way_out(late: Callable[[], Definition]) -> None:
    message = refused(late)
    assert "names step 'b', which need not have settled before this one begins: name it in after=[…]" in message


def test_a_step_settles_before_all_that_come_after_those_after_it() -> None:
    steps: list[Step | ActivityType] = [
        act("a"),
        act("b"),
        Step("c", act("c"), after=("b",), input={"x": ref("steps.a.x"), "y": ref("steps.b")}),
    ]
    assert define(*steps).plan is not None


def test_the_longest_name_of_a_step_is_meant() -> None:
    steps: list[Step | ActivityType] = [act("look"), Step("look.v1", booking(Seat))]
    taken = define(*steps, Step("tell", act("tell"), input={"x": ref("steps.look.v1.number")}))
    assert taken.plan is not None
    message = refused(lambda: define(*steps, Step("tell", act("tell"), input={"x": ref("steps.look.v1.numbr")})))
    assert "the output of step 'look.v1' (activity 'book') has no 'numbr'" in message


# --- what comes with an activity ------------------------------------------------------------------------------------


def test_a_compensation_and_a_probe_given_as_activities_need_not_be_listed() -> None:
    release, ask = act("release", "idempotent", pivot=True), act("ask")
    book = activity(effect="once", compensation=release, reconcile=ask, name="book")(act("x").function)
    definition = Definition("trip", steps=[Step("book", book)])
    assert definition.activities == {"book": book, "release": release, "ask": ask}
    assert Definition("trip", steps=[Step("book", book)], activities=[release]).activities == definition.activities


def test_another_activity_of_a_compensations_name_is_refused() -> None:
    release, other = act("release", "idempotent", pivot=True), act("release")
    book = activity(effect="idempotent", compensation=release, name="book")(act("x").function)
    message = refused(lambda: Definition("trip", steps=[Step("book", book)], activities=[other]))
    assert "two activities are called 'release'" in message
