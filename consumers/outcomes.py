"""From what an activity returned or raised to what is recorded about it: validated, bounded, classified.

Pure but for the author's own serialisers. Guarantees: whatever comes out can be recorded; what does not validate is a
failure of class `invalid` that proves nothing absent; a failure that nobody classified is a `bug`; no value of an
opened secret gets through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import ValidationError
from pydantic_core import to_json, to_jsonable_python

from consumers.redaction import Redactor
from domain.definitions import ActivityType
from domain.errors import ActivityAnswer, Denied, InputInvalid, NeedsApproval
from domain.failures import MESSAGE_CHARACTERS, Failure, FailureClass, failure_from_exception, make_failure
from domain.payloads import check_finite, check_payload, holds_null
from domain.triggers import Answer

Status = Literal["ok", "failed", "needs_approval", "denied"]

MOST_PROPOSED_CONTROLS: Final = 100


@dataclass(slots=True)
class Ending:
    """How an attempt ended: the parts of RecordOutcome that the activity decides."""

    status: Status
    output: Any = None
    failure: Failure | None = None
    answer: Answer | None = None


def validated_input(declared: ActivityType, given: Any, redactor: Redactor) -> tuple[Any, Ending | None]:
    """The activity's input, made from a command's; or the ending of an attempt whose input does not fit.

    Nothing ran, so nothing can have happened: the failure is proof of absence.
    """
    try:
        return declared.input_adapter.validator.validate_python(given), None
    except ValidationError:
        pass
    except Exception as error:  # noqa: BLE001 - an author's validator may raise anything
        return None, _invalid_input(declared, f"{type(error).__name__}: {error}", redactor)
    try:
        # Strict models read dates and the like from JSON only.
        return declared.input_adapter.validate_json(to_json(given)), None
    except ValidationError as error:
        return None, _invalid_input(declared, _first(error), redactor)
    except Exception as error:  # noqa: BLE001 - as above
        return None, _invalid_input(declared, f"{type(error).__name__}: {error}", redactor)


def _invalid_input(declared: ActivityType, reason: str, redactor: Redactor) -> Ending:
    message = _text(f"input of activity {declared.name!r}: {reason}", redactor)
    failure = make_failure(declared.name, FailureClass.INVALID, message, type_name="InputInvalid", absent=True)
    return Ending("failed", failure=failure)


def returned(declared: ActivityType, kind: str, value: Any, redactor: Redactor) -> Ending:
    """The ending of an attempt whose activity returned."""
    if isinstance(value, ActivityAnswer):
        return _answered(declared, kind, value, redactor)
    try:
        return Ending("ok", output=_recorded_output(declared, value, redactor))
    except Exception as error:  # noqa: BLE001 - an author's validator or serialiser may raise anything
        return _invalid_output(declared, error, redactor)


def raised(declared: ActivityType, kind: str, error: BaseException, redactor: Redactor) -> Ending:
    """The ending of an attempt whose activity raised."""
    if isinstance(error, ActivityAnswer):
        return _answered(declared, kind, error, redactor)
    try:
        failure = failure_from_exception(declared.name, error, readable=lambda text: _text(text, redactor))
    except Exception:  # noqa: BLE001 - an author's exception may not even know its own text
        message = "raised an exception without a text"
        failure = make_failure(declared.name, FailureClass.BUG, message, type_name=type(error).__name__)
    return Ending("failed", failure=failure)


def timed_out(declared: ActivityType, reason: str, *, absent: bool = False) -> Ending:
    """The ending of an attempt that ran out of its time; `absent` where it never began."""
    message = f"activity {declared.name!r} {reason}"
    failure = make_failure(declared.name, FailureClass.TIMEOUT, message, type_name="TimeoutError", absent=absent)
    return Ending("failed", failure=failure)


def _recorded_output(declared: ActivityType, value: Any, redactor: Redactor) -> Any:
    # The adapter's own methods do the same, with twenty more arguments to hand through.
    adapter = declared.output_adapter
    valid = adapter.validator.validate_python(value)
    output = adapter.serializer.to_python(valid, mode="json", by_alias=True, warnings="error")
    if holds_null(output):
        # JSON has null where the value had NaN or an infinity: what is no number must not pass for what is not there.
        check_finite(adapter.serializer.to_python(valid, by_alias=True), "output")
    if redactor.active:
        output = redactor.payload(output)
    check_payload(output, "output")
    return output


def _invalid_output(declared: ActivityType, error: Exception, redactor: Redactor) -> Ending:
    reason = _first(error) if isinstance(error, ValidationError) else str(error) or type(error).__name__
    message = _text(f"output of activity {declared.name!r}: {reason}", redactor)
    return Ending(
        "failed", failure=make_failure(declared.name, FailureClass.INVALID, message, type_name="OutputInvalid")
    )


def _answered(declared: ActivityType, kind: str, answer: ActivityAnswer, redactor: Redactor) -> Ending:
    reason = _text(str(answer), redactor)[:MESSAGE_CHARACTERS]
    if isinstance(answer, Denied):
        failure = make_failure(declared.name, FailureClass.REJECTED, reason, type_name="Denied")
        return Ending("denied" if kind == "run" else "failed", failure=failure)
    if not isinstance(answer, NeedsApproval) or kind != "run":
        message = f"{type(answer).__name__} is no answer of a step's {kind} attempt: {reason}"
        return Ending("failed", failure=make_failure(declared.name, FailureClass.PERMANENT, message))
    try:
        return Ending("needs_approval", answer=_recorded_answer(declared, answer, reason, redactor))
    except Exception as error:  # noqa: BLE001 - evidence and output are the author's
        return _invalid_output(declared, error, redactor)


def _recorded_answer(declared: ActivityType, answer: NeedsApproval, reason: str, redactor: Redactor) -> Answer:
    if len(answer.controls) > MOST_PROPOSED_CONTROLS:
        raise InputInvalid(f"{len(answer.controls)} controls proposed, at most {MOST_PROPOSED_CONTROLS}")
    evidence = redactor.payload(to_jsonable_python(answer.evidence, inf_nan_mode="constants"))
    check_payload(evidence, "evidence")
    output = None if answer.output is None else _recorded_output(declared, answer.output, redactor)
    controls = tuple(_text(str(control), redactor)[:MESSAGE_CHARACTERS] for control in answer.controls)
    return Answer(reason=reason, evidence=evidence, controls=controls, policy=answer.policy, output=output)


def _text(text: str, redactor: Redactor) -> str:
    """A text that can be recorded: values of secrets are replaced, lone surrogates are written out."""
    # Names of files that are no UTF-8 have lone surrogates, and messages quote them.
    readable = text.encode("utf-8", "backslashreplace").decode()
    return redactor.text(readable) if redactor.active else readable


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])
