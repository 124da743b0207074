"""What an operator does: retry, skip, supply, settle, extend, pause, unpause, cancel; and signals by hand."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.options import OPERATE, AsJson, By, Detach, Home, Modules, Reason, Step, WorkflowId, help_text
from domain.errors import InputInvalid

if TYPE_CHECKING:
    from domain.triggers import Intervention


class Applied(StrEnum):
    """What became of an outcome that was unknown."""

    APPLIED = "applied"
    NOT_APPLIED = "not-applied"


OneWorkflow = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="The workflow's id, for example wf_001; none where many are meant.")
]
Rate = Annotated[
    str | None, typer.Option("--rate", metavar="N/s", help="Of many: how many a second at most; by default 10/s.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Of many: only list what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", help="Of many: do not ask at the terminal.")]
Output = Annotated[
    str | None, typer.Option("--output", metavar="@FILE|JSON", help="The step's output: a file of JSON, or JSON.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands = (
        (
            "retry",
            retry,
            (
                "Try a step again; with another input it is a new generation of the step. With --fingerprint: every "
                "step that waits for a person with this failure, as `handrail failures` names it; the same command "
                "again does what is left, and nothing twice."
            ),
            'handrail retry wf_001 --step reserve --by bob --reason "register is back"',
            'handrail retry wf_001 --step reserve --input @order.json --by bob --reason "fixed the address"',
            'handrail retry --fingerprint 3f2a9c01d4e57b68 --by bob --reason "register is back" --rate 20/s',
            "handrail retry --fingerprint 3f2a9c01d4e57b68 --dry-run",
        ),
        (
            "skip",
            skip,
            "Pass a step over; where undoing it failed, accept its effect as it is.",
            'handrail skip wf_001 --step notify --by bob --reason "done by phone"',
        ),
        (
            "supply",
            supply,
            "Give a step the output that it did not produce.",
            'handrail supply wf_001 --step score --output @score.json --by bob --reason "taken from the ERP"',
        ),
        (
            "settle",
            settle,
            "Say whether an unknown outcome was applied.",
            'handrail settle wf_001 --step pay --as applied --by bob --reason "seen in the ledger"',
            'handrail settle wf_001 --step pay --as not-applied --by bob --reason "no entry in the ledger"',
        ),
        (
            "extend",
            extend,
            "Allow further attempts to a workflow that has used up its budget.",
            'handrail extend wf_001 --attempts 20 --by bob --reason "slow supplier"',
        ),
        (
            "pause",
            pause,
            "Schedule nothing new; outcomes are still recorded.",
            'handrail pause wf_001 --by bob --reason "maintenance of the register"',
        ),
        (
            "unpause",
            unpause,
            "Let a paused workflow go on.",
            'handrail unpause wf_001 --by bob --reason "maintenance is over"',
        ),
        (
            "cancel",
            cancel,
            (
                "Stop, wait for what is under way, and undo what was done. With --status and --definition: every such "
                "workflow; the same command again does what is left, and nothing twice."
            ),
            'handrail cancel wf_001 --by bob --reason "no longer wanted"',
            'handrail cancel wf_001 --no-compensation --by bob --reason "keep what there is"',
            'handrail cancel --status blocked --definition review --tag team=blue --by bob --reason "superseded"',
            "handrail cancel --status blocked --definition review --dry-run",
        ),
        (
            "signal",
            signal,
            "Deliver a signal to the workflow that waits for it; one that nobody waits for yet is kept.",
            "handrail signal papers saltmarsh --payload @answer.json",
        ),
    )
    for name, command, summary, *examples in commands:
        app.command(name, help=help_text(summary, *examples), rich_help_panel=OPERATE)(command)


def retry(
    workflow_id: OneWorkflow = None,
    *,
    step: Annotated[str | None, typer.Option("--step", metavar="STEP", help="The step that it is about.")] = None,
    given: Annotated[
        str | None, typer.Option("--input", metavar="@FILE|JSON", help="Another input: a file of JSON, or JSON.")
    ] = None,
    fingerprint: Annotated[
        str | None,
        typer.Option("--fingerprint", metavar="F", help="Every step that waits for a person with this failure."),
    ] = None,
    rate: Rate = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    by: By = None,
    reason: Reason = None,
    home: Home = None,
    module: Modules = None,
    detach: Detach = False,
    as_json: AsJson = False,
) -> int:
    """Try a step again, or many."""
    from deploy.cli.given import read_object
    from deploy.cli.several import check_many, check_one, how_of, session_of, why_of
    from domain.triggers import RetryStep

    if fingerprint is None:
        name = check_one("retry", workflow_id, {"--fingerprint F": False}, rate=rate, dry_run=dry_run, yes=yes)
        if step is None:
            raise InputInvalid("--step STEP says which step is tried again")
        data = read_object(given, "--input")
        return _operate(RetryStep, name, by, reason, (home, module, detach, as_json), step=step, input=data)
    check_many("--fingerprint", workflow_id, {"--step": step is not None, "--input": given is not None})
    from deploy.cli.many import retry_all

    how, (who, why) = how_of(rate, dry_run=dry_run, yes=yes), why_of(by, reason, dry_run=dry_run)
    session = session_of(home, module, as_json=as_json)
    return retry_all(session, fingerprint, lambda name: RetryStep(by=who, reason=why, step=name), how)


def skip(
    workflow_id: WorkflowId,
    *,
    step: Step,
    by: By = None,
    reason: Reason = None,
    home: Home = None,
    module: Modules = None,
    detach: Detach = False,
    as_json: AsJson = False,
) -> int:
    """Pass a step over."""
    from domain.triggers import SkipStep

    return _operate(SkipStep, workflow_id, by, reason, (home, module, detach, as_json), step=step)


def supply(
    workflow_id: WorkflowId,
    *,
    step: Step,
    output: Annotated[
        str, typer.Option("--output", metavar="@FILE|JSON", help="The step's output: a file of JSON, or JSON.")
    ],
    by: By = None,
    reason: Reason = None,
    home: Home = None,
    module: Modules = None,
    detach: Detach = False,
    as_json: AsJson = False,
) -> int:
    """Give a step its output."""
    from deploy.cli.given import read_payload
    from domain.triggers import SupplyOutput

    value = read_payload(output, "--output")
    return _operate(SupplyOutput, workflow_id, by, reason, (home, module, detach, as_json), step=step, output=value)


def settle(
    workflow_id: WorkflowId,
    *,
    step: Step,
    applied: Annotated[Applied, typer.Option("--as", help="What was found out.")],
    output: Output = None,
    by: By = None,
    reason: Reason = None,
    home: Home = None,
    module: Modules = None,
    detach: Detach = False,
    as_json: AsJson = False,
) -> int:
    """Settle an unknown outcome."""
    from deploy.cli.given import read_payload
    from domain.errors import InputInvalid
    from domain.triggers import SettleOutcome

    if output is not None and applied is not Applied.APPLIED:
        raise InputInvalid("--output belongs to --as applied: what was not applied has none")
    value = read_payload(output, "--output")
    return _operate(
        SettleOutcome,
        workflow_id,
        by,
        reason,
        (home, module, detach, as_json),
        step=step,
        applied=applied is Applied.APPLIED,
        output=value,
    )


def extend(
    workflow_id: WorkflowId,
    attempts: Annotated[
        int, typer.Option("--attempts", metavar="N", min=1, max=1_000_000, help="How many attempts more.")
    ],
    by: By = None,
    reason: Reason = None,
    home: Home = None,
    module: Modules = None,
    detach: Detach = False,
    as_json: AsJson = False,
) -> int:
    """Allow further attempts."""
    from domain.triggers import ExtendBudget

    return _operate(ExtendBudget, workflow_id, by, reason, (home, module, detach, as_json), attempts=attempts)


def pause(
    workflow_id: WorkflowId,
    by: By = None,
    reason: Reason = None,
    home: Home = None,
    module: Modules = None,
    as_json: AsJson = False,
) -> int:
    """Pause."""
    from domain.triggers import PauseWorkflow

    # Nothing is driven: whoever pauses wants less to happen, not more.
    return _operate(PauseWorkflow, workflow_id, by, reason, (home, module, True, as_json))


def unpause(
    workflow_id: WorkflowId,
    by: By = None,
    reason: Reason = None,
    home: Home = None,
    module: Modules = None,
    detach: Detach = False,
    as_json: AsJson = False,
) -> int:
    """Let it go on."""
    from domain.triggers import ResumeWorkflow

    return _operate(ResumeWorkflow, workflow_id, by, reason, (home, module, detach, as_json))


def cancel(
    workflow_id: OneWorkflow = None,
    *,
    status: Annotated[
        str | None, typer.Option("--status", metavar="S", help="Every workflow in this status, of --definition.")
    ] = None,
    definition: Annotated[
        str | None, typer.Option("--definition", metavar="NAME", help="Every workflow of this definition, in --status.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="K=V", help="Of those, only with this tag; repeatable.")
    ] = None,
    rate: Rate = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    by: By = None,
    reason: Reason = None,
    no_compensation: Annotated[bool, typer.Option("--no-compensation", help="Leave what was done as it is.")] = False,
    home: Home = None,
    module: Modules = None,
    detach: Detach = False,
    as_json: AsJson = False,
) -> int:
    """Cancel a workflow, or many."""
    from deploy.cli.given import read_tags
    from deploy.cli.several import check_many, check_one, check_open_status, how_of, session_of, why_of
    from domain.triggers import CancelWorkflow

    if status is None and definition is None:
        name = check_one(
            "cancel", workflow_id, {"--status S --definition NAME": bool(tag)}, rate=rate, dry_run=dry_run, yes=yes
        )
        place = (home, module, detach, as_json)
        return _operate(CancelWorkflow, name, by, reason, place, compensate=not no_compensation)
    check_many("--status and --definition", workflow_id, {})
    if status is None or definition is None:
        raise InputInvalid("--status S and --definition NAME go together: give both, or the ID of one workflow")
    from deploy.cli.many import cancel_all

    how, (who, why) = how_of(rate, dry_run=dry_run, yes=yes), why_of(by, reason, dry_run=dry_run)
    trigger = CancelWorkflow(by=who, reason=why, compensate=not no_compensation)
    session = session_of(home, module, as_json=as_json)
    return cancel_all(session, check_open_status(status), definition, read_tags(tag or []), trigger, how)


def _operate(
    kind: type[Intervention],
    workflow_id: str,
    by: str | None,
    reason: str | None,
    place: tuple[str | None, list[str] | None, bool, bool],
    **about: Any,
) -> int:
    from deploy.cli.act import act
    from deploy.cli.given import read_name, read_reason

    home, module, detach, as_json = place
    trigger = kind(by=read_name(by), reason=read_reason(reason) or "no reason given", **about)
    return act(workflow_id, lambda _: trigger, by=trigger.by, home=home, module=module, detach=detach, as_json=as_json)


def signal(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The signal's name.")],
    correlation: Annotated[str, typer.Argument(metavar="CORRELATION", help="Whose it is: what the step waits for.")],
    payload: Annotated[
        str | None, typer.Option("--payload", metavar="@FILE|JSON", help="What it says: a file of JSON, or JSON.")
    ] = None,
    by: By = None,
    home: Home = None,
    module: Modules = None,
    detach: Detach = False,
    as_json: AsJson = False,
) -> int:
    """Deliver a signal."""
    from deploy.cli.given import read_name, read_payload
    from deploy.cli.signalling import send

    value = read_payload(payload, "--payload")
    return send(name, correlation, value, by=read_name(by), home=home, module=module, detach=detach, as_json=as_json)
