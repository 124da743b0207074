"""`handrail approve` and `handrail reject`: a person's decision, and on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from deploy.cli.options import DECIDE, AsJson, Controls, Detach, Home, Modules, OneOfSteps, WorkflowId, help_text

if TYPE_CHECKING:
    from domain.state import State
    from domain.triggers import RecordDecision

DIGEST_CHARACTERS: Final = 6
"""A quoted digest has at least so many characters: enough to tell one action from another."""

Who = Annotated[str, typer.Option("--by", metavar="WHO", help="Who decides.")]
Digest = Annotated[
    str | None,
    typer.Option("--digest", metavar="PREFIX", help="The action's digest as it was looked at; another one is refused."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "approve",
        rich_help_panel=DECIDE,
        help=help_text(
            "Grant an approval, and drive the workflow on until it ends or blocks again.",
            "handrail approve wf_001 --by alice",
            'handrail approve wf_001 --by alice --control "annual review" --reason "references checked"',
            "handrail approve wf_001 --by alice --step policy_screen --digest 3f9a1c",
        ),
    )(approve)
    app.command(
        "reject",
        rich_help_panel=DECIDE,
        help=help_text(
            "Reject an approval: the workflow undoes what it did, and ends with exit code 1.",
            'handrail reject wf_001 --by alice --reason "no contract"',
        ),
    )(reject)


def approve(
    workflow_id: WorkflowId,
    by: Who,
    *,
    step: OneOfSteps = None,
    digest: Digest = None,
    control: Controls = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, for the history.")] = None,
    home: Home = None,
    module: Modules = None,
    detach: Detach = False,
    as_json: AsJson = False,
) -> int:
    """Grant an approval."""
    from deploy.cli.given import read_controls, read_reason

    return _decide(
        workflow_id,
        "approve",
        by,
        step=step,
        digest=digest,
        controls=read_controls(control or []),
        reason=read_reason(reason),
        place=(home, module, detach, as_json),
    )


def reject(
    workflow_id: WorkflowId,
    by: Who,
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the history.")],
    step: OneOfSteps = None,
    digest: Digest = None,
    home: Home = None,
    module: Modules = None,
    detach: Detach = False,
    as_json: AsJson = False,
) -> int:
    """Reject an approval."""
    from deploy.cli.given import read_reason

    return _decide(
        workflow_id,
        "reject",
        by,
        step=step,
        digest=digest,
        controls=(),
        reason=read_reason(reason, needed=True),
        place=(home, module, detach, as_json),
    )


def _decide(
    workflow_id: str,
    decision: str,
    by: str,
    *,
    step: str | None,
    digest: str | None,
    controls: tuple[str, ...],
    reason: str,
    place: tuple[str | None, list[str] | None, bool, bool],
) -> int:
    from deploy.cli.act import act
    from deploy.cli.given import read_name
    from deploy.cli.person import Answer

    home, module, detach, as_json = place
    answer = Answer(decision, read_name(by), controls, reason)
    return act(
        workflow_id,
        lambda state: decision_on(state, answer, step=step, digest=digest),
        by=answer.decided_by,
        home=home,
        module=module,
        detach=detach,
        as_json=as_json,
    )


def last_decided(state: State) -> str | None:
    """The step whose approval was decided or expired last, where it can be told; None where none was asked for."""
    asked = [name for name, step in state.steps.items() if step.rounds]
    return next(reversed([*asked, *state.grants]), None)


def decision_on(state: State, answer: object, *, step: str | None, digest: str | None) -> RecordDecision:
    """The trigger of a decision on the approval that is meant; raises InputInvalid where none can be meant.

    What can be meant and does not count (a second decision, one too late, another digest) is handed in all the same:
    the engine refuses it, and records that it did.
    """
    from deploy.cli.drive import decision_of
    from deploy.cli.person import Answer
    from domain.errors import InputInvalid
    from domain.ids import approval_id
    from domain.triggers import RecordDecision

    if not isinstance(answer, Answer):
        raise TypeError(type(answer).__name__)
    name = state.workflow_id
    if step is None and len(state.ballots) > 1:
        steps = ", ".join(sorted(state.ballots))
        raise InputInvalid(f"several steps of {name} wait for an approval: name one with --step: {steps}")
    ballot = next(iter(state.ballots.values()), None) if step is None else state.ballots.get(step)
    if ballot is None:
        closed = step if step is not None else last_decided(state)
        known = closed is not None and (closed in state.steps or closed in state.settled)
        if step is not None and not known:
            raise InputInvalid(f"{name} has no step {step!r}: `handrail show {name}` lists its steps")
        if closed is None:
            raise InputInvalid(f"{name} waits for no approval (it is {state.status}): see `handrail show {name}`")
        hot = state.steps.get(closed)
        rounds = max(1, hot.rounds if hot is not None else 1)
        return RecordDecision(
            approval_id=approval_id(closed, rounds),
            round=rounds,
            digest=digest or "",
            decision="approve" if answer.decision == "approve" else "reject",
            decided_by=answer.decided_by,
            reason=answer.reason,
            controls=answer.controls,
        )
    trigger = decision_of(ballot, answer)
    if digest is None:
        return trigger
    quoted = digest.strip().lower()
    if len(quoted) < DIGEST_CHARACTERS:
        raise InputInvalid(f"--digest {digest!r}: quote at least {DIGEST_CHARACTERS} characters of the digest")
    return trigger if ballot.request.digest.startswith(quoted) else trigger.model_copy(update={"digest": quoted})
