"""What is recorded about what an activity returned or raised."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_serializer

from consumers.outcomes import Ending, raised, returned, timed_out, validated_input
from consumers.redaction import Redactor
from domain.definitions import activity
from domain.errors import Denied, NeedsApproval, NotApplied, Permanent, RateLimited, Transient
from domain.failures import FailureClass
from domain.payloads import PAYLOAD_BYTES
from domain.secret import Secret


class Day(BaseModel):
    model_config = ConfigDict(strict=True)

    on: date


class Report(BaseModel):
    points: int
    ratio: float = 0.5


@activity
async def examine(day: Day) -> Report | NeedsApproval | Denied:
    return Report(points=day.on.day)


@activity
async def anything(given: dict[str, Any]) -> Any:
    return given


def plain() -> Redactor:
    return Redactor()


def failure_class(ending: Ending) -> FailureClass:
    assert ending.status == "failed"
    assert ending.failure is not None
    return ending.failure.kind


# --- input ----------------------------------------------------------------------------------------------------------


def test_input_is_validated_as_the_json_it_came_as() -> None:
    given, ending = validated_input(examine, {"on": "2030-01-02"}, plain())
    assert ending is None
    assert given == Day(on=date(2030, 1, 2))


def test_an_input_that_does_not_fit_proves_that_nothing_happened() -> None:
    given, ending = validated_input(examine, {"on": "soon"}, plain())
    assert given is None
    assert ending is not None
    assert failure_class(ending) is FailureClass.INVALID
    assert ending.failure is not None
    assert ending.failure.absent
    assert "examine" in ending.failure.message
    assert "on:" in ending.failure.message


def test_a_validator_that_raises_something_else_is_an_invalid_input_too() -> None:
    class Odd(BaseModel):
        name: str

        def model_post_init(self, _: Any) -> None:
            raise KeyError("odd")

    @activity
    async def odd(given: Odd) -> None: ...

    _, ending = validated_input(odd, {"name": "x"}, plain())
    assert ending is not None
    assert failure_class(ending) is FailureClass.INVALID
    assert ending.failure is not None
    assert ending.failure.absent


# --- what came back -------------------------------------------------------------------------------------------------


def test_an_output_is_recorded_as_plain_json() -> None:
    assert returned(examine, "run", Report(points=3), plain()) == Ending("ok", output={"points": 3, "ratio": 0.5})


def test_an_output_given_as_a_mapping_is_validated() -> None:
    assert returned(examine, "run", {"points": "3"}, plain()).output == {"points": 3, "ratio": 0.5}


@pytest.mark.parametrize(
    "value",
    [
        None,
        "nonsense",
        {"points": "many"},
        {"points": 2**53},
        {"points": -(2**53)},
        {"points": 1, "ratio": float("nan")},
        {"points": 1, "ratio": float("inf")},
        Report.model_construct(points="three"),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_an_output_that_does_not_fit_is_an_effect_with_a_bad_output(value: Any) -> None:
    ending = returned(examine, "run", value, plain())
    assert failure_class(ending) is FailureClass.INVALID
    assert ending.failure is not None
    assert not ending.failure.absent
    assert ending.failure.message.startswith("output of activity 'examine'")


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    ["x" * (PAYLOAD_BYTES - 1), object(), "\ud800", {"key": b"\xff\xfe"}, {1, 2**60}, nested(101), nested(5_000)],
    ids=["large", "object", "surrogate", "bytes", "set", "deep", "deeper"],
)
def test_what_json_cannot_hold_within_bounds_is_invalid(value: Any) -> None:
    assert failure_class(returned(anything, "run", value, plain())) is FailureClass.INVALID


def test_the_bounds_themselves_are_within() -> None:
    for value in ("x" * (PAYLOAD_BYTES - 2), 2**53 - 1, -(2**53) + 1, nested(100)):
        assert returned(anything, "run", value, plain()).status == "ok"


def test_decimals_dates_and_aliases_are_written_as_the_model_says() -> None:
    class Price(BaseModel):
        amount: Decimal = Field(serialization_alias="theAmount")
        on: date

    @activity
    async def price(given: dict[str, Any]) -> Price:
        raise NotImplementedError

    ending = returned(price, "run", Price(amount=Decimal("1.10"), on=date(2030, 1, 2)), plain())
    assert ending.output == {"theAmount": "1.10", "on": "2030-01-02"}


def test_a_serialiser_that_raises_makes_the_output_invalid() -> None:
    class Broken(BaseModel):
        name: str

        @field_serializer("name")
        def serialise(self, _: str) -> str:
            raise KeyError("broken")

    @activity
    async def broken(given: dict[str, Any]) -> Broken:
        raise NotImplementedError

    assert failure_class(returned(broken, "run", Broken(name="x"), plain())) is FailureClass.INVALID


# --- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["returned", "raised"])
def test_needs_approval_may_be_returned_or_raised(how: str) -> None:
    answer = NeedsApproval(
        "manual approval", {"points": 9}, controls=["weekly report"], policy="risk", output=Report(points=9)
    )
    ending = (returned if how == "returned" else raised)(examine, "run", answer, plain())
    assert ending.status == "needs_approval"
    assert ending.answer is not None
    assert ending.answer.model_dump() == {
        "reason": "manual approval",
        "evidence": {"points": 9},
        "controls": ("weekly report",),
        "policy": "risk",
        "output": {"points": 9, "ratio": 0.5},
    }


@pytest.mark.parametrize("how", ["returned", "raised"])
def test_denied_may_be_returned_or_raised(how: str) -> None:
    ending = (returned if how == "returned" else raised)(examine, "run", Denied("sanctioned"), plain())
    assert ending.status == "denied"
    assert ending.failure is not None
    assert (ending.failure.kind, ending.failure.message) == (FailureClass.REJECTED, "sanctioned")


@pytest.mark.parametrize("evidence", [{"x": object()}, {"x": float("nan")}, {"x": "y" * PAYLOAD_BYTES}])
def test_evidence_that_cannot_be_recorded_is_an_invalid_output(evidence: dict[str, Any]) -> None:
    ending = returned(examine, "run", NeedsApproval("look", evidence), plain())
    assert failure_class(ending) is FailureClass.INVALID


def test_an_output_proposed_with_an_approval_is_validated_like_any() -> None:
    ending = returned(examine, "run", NeedsApproval("look", output={"points": "many"}), plain())
    assert failure_class(ending) is FailureClass.INVALID


@pytest.mark.parametrize("kind", ["compensate", "probe", "plan", "artifact"])
def test_only_a_steps_own_run_asks_a_person(kind: str) -> None:
    assert failure_class(returned(examine, kind, NeedsApproval("look"), plain())) is FailureClass.PERMANENT
    assert failure_class(returned(examine, kind, Denied("no"), plain())) is FailureClass.REJECTED


# --- what was raised ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Transient("busy"), FailureClass.TRANSIENT),
        (Permanent("gone"), FailureClass.PERMANENT),
        (TimeoutError(), FailureClass.TIMEOUT),
        (ConnectionResetError("reset"), FailureClass.TRANSIENT),
        (KeyError("x"), FailureClass.BUG),
        (SystemExit(3), FailureClass.BUG),
        (KeyboardInterrupt(), FailureClass.BUG),
        (GeneratorExit(), FailureClass.BUG),
        (RecursionError("deep"), FailureClass.BUG),
        (ExceptionGroup("several", [ValueError("x")]), FailureClass.BUG),
    ],
    ids=repr,
)
def test_exceptions_are_classified(error: BaseException, kind: FailureClass) -> None:
    assert failure_class(raised(examine, "run", error, plain())) is kind


def test_not_applied_is_proof_of_absence_and_rate_limits_are_kept() -> None:
    proof = raised(examine, "run", NotApplied("refused at the door"), plain())
    assert proof.failure is not None
    assert proof.failure.absent
    limited = raised(examine, "run", RateLimited("slowly", retry_after_seconds=7), plain())
    assert limited.failure is not None
    assert limited.failure.retry_after_seconds == 7


def test_an_exception_that_does_not_know_its_text_is_a_bug() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    ending = raised(examine, "run", Mute(), plain())
    assert failure_class(ending) is FailureClass.BUG


def test_texts_that_are_no_unicode_are_written_out() -> None:
    ending = raised(examine, "run", Permanent("no file \udcff"), plain())
    assert ending.failure is not None
    assert ending.failure.message == "no file \\udcff"


def test_a_time_out_is_of_its_own_class_and_proves_absence_only_where_nothing_began() -> None:
    over, never = timed_out(examine, "took too long"), timed_out(examine, "came too late", absent=True)
    assert failure_class(over) is FailureClass.TIMEOUT
    assert over.failure is not None
    assert never.failure is not None
    assert (over.failure.absent, never.failure.absent) == (False, True)


# --- secrets --------------------------------------------------------------------------------------------------------


@pytest.fixture
def knowing() -> Redactor:
    redactor = Redactor()
    redactor.keep(Secret("api_key", 'tr0ub4dor "&3/ü'))
    return redactor


SECRET = 'tr0ub4dor "&3/ü'


def test_an_output_with_a_secret_in_it_is_recorded_without(knowing: Redactor) -> None:
    ending = returned(anything, "run", {"echo": [f"Bearer {SECRET}"], SECRET: 1}, knowing)
    assert ending.output == {"echo": ["Bearer [secret api_key]"], "[secret api_key]": 1}


def test_failures_evidence_and_reasons_are_recorded_without_secrets(knowing: Redactor) -> None:
    bug = raised(examine, "run", KeyError(SECRET), knowing)
    cut = raised(examine, "run", Permanent("x" * 1_995 + SECRET), knowing)
    answer = returned(examine, "run", NeedsApproval(SECRET, {"x": SECRET}, controls=[SECRET]), knowing)
    denied = returned(examine, "run", Denied(f"no {SECRET}"), knowing)
    invalid = returned(examine, "run", {"points": SECRET}, knowing)
    texts = repr([bug, cut, answer, denied, invalid])
    assert SECRET not in texts
    assert "tr0ub" not in texts
    assert answer.answer is not None
    assert answer.answer.evidence == {"x": "[secret api_key]"}


def test_the_fingerprint_does_not_depend_on_the_secret(knowing: Redactor) -> None:
    other = Redactor()
    other.keep(Secret("api_key", "another value"))
    mine = raised(examine, "run", Permanent(f"refused {SECRET}"), knowing).failure
    theirs = raised(examine, "run", Permanent("refused another value"), other).failure
    assert mine is not None
    assert theirs is not None
    assert mine.fingerprint == theirs.fingerprint
