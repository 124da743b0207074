"""How attempts end: what workers report, in time or late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domain import events as e
from domain.failures import Failure, FailureClass, make_failure
from domain.ids import ARTIFACT_STEP
from domain.triggers import Answer, RecordOutcome, Trigger
from tests.properties.chance import Chance, one_in, one_of


def timed_out(trigger: Trigger) -> bool:
    failed = trigger.failure if isinstance(trigger, RecordOutcome) else None
    return failed is not None and failed.kind is FailureClass.TIMEOUT


def same_attempt(told: Trigger, outcome: RecordOutcome) -> bool:
    return isinstance(told, RecordOutcome) and (told.step, told.attempt) == (outcome.step, outcome.attempt)


def ok(command: e.StepScheduled, output: Any) -> RecordOutcome:
    """The attempt's good end."""
    artifacts = (e.Artifact(name="report.json", digest="0" * 64, size=2),) if command.step == ARTIFACT_STEP else ()
    return RecordOutcome(
        step=command.step,
        kind=command.kind,
        attempt=command.attempt,
        status="ok",
        output=output,
        artifacts=artifacts,
        worker="worker",
    )


def answer(chance: Chance, command: e.StepScheduled, proposal: Callable[[], Any]) -> RecordOutcome:
    """How an attempt may end, more often well than badly."""
    if one_in(chance, 3) or (command.kind == "probe" and one_in(chance, 2)):
        return _bad_end(chance, command)
    output = proposal() if command.kind == "plan" else {"value": chance.below(3)}
    if command.kind == "run" and one_in(chance, 8):
        names = (None, "board", "unheard-of")
        policy = one_of(chance, names)
        answered = Answer(reason="look", evidence={"score": 1}, controls=("sign",), policy=policy)
        return ok(command, None).model_copy(update={"status": "needs_approval", "answer": answered})
    return ok(command, output)


def _bad_end(chance: Chance, command: e.StepScheduled) -> RecordOutcome:
    if one_in(chance, 8):
        return ok(command, None).model_copy(update={"status": "denied", "answer": Answer(reason="the rule says no")})
    what = failure(chance, likely_absent=command.kind == "probe")
    return ok(command, None).model_copy(update={"status": "failed", "failure": what, "artifacts": ()})


def failure(chance: Chance, *, likely_absent: bool) -> Failure:
    """A failure of any class."""
    if one_in(chance, 2 if likely_absent else 8):
        return make_failure("any", FailureClass.TRANSIENT, "did not happen", type_name="NotApplied", absent=True)
    kind = one_of(chance, tuple(FailureClass))
    patience = 5.0 if kind is FailureClass.RATE_LIMITED else None
    return make_failure("any", kind, "no", retry_after_seconds=patience)
