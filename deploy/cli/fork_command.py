"""`handrail fork`: a new workflow from a prefix of an old one."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.cli.options import OPERATE, AsJson, By, Detach, Home, Modules, Reason, WorkflowId, help_text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "fork",
        rich_help_panel=OPERATE,
        help=help_text(
            "Begin a new workflow from an old one's events up to one of them, and drive it on until it ends or blocks. "
            "Steps that had not settled there are run again, under keys of their own; what was done before belongs to "
            "the old one and is never undone by the new one. First it is listed what would be done a second time, and "
            "asked; without a terminal, --yes answers. Both histories tell of each other. The same command again is "
            "the same fork.",
            "handrail fork wf_001 --at 12 --dry-run",
            'handrail fork wf_001 --at 12 --by bob --reason "register is back"',
            "handrail fork wf_001 --at 2026-01-31T12:00:00Z --yes",
            "handrail fork wf_001 --at 3 --input amount=10 --input order=@order.json --yes",
            "handrail fork wf_001 --at 12 --another --yes",
        )
        + "\n\nExit codes: those of the new workflow; 2 it was not begun.",
    )(fork)


def fork(
    workflow_id: WorkflowId,
    *,
    at: Annotated[
        str,
        typer.Option(
            "--at", metavar="N|TIME", help="Begin after event N, the last of a decision, or as it stood at an instant."
        ),
    ],
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="KEY=VALUE",
            help="In the place of the old workflow's, for all that is still to run; repeatable. Also KEY=@FILE.json, "
            "@FILE.json.",
        ),
    ] = None,
    by: By = None,
    reason: Reason = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it, whatever is listed; nobody is asked.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be done a second time.")] = False,
    another: Annotated[
        bool, typer.Option("--another", help="A further fork, where there is one like it already.")
    ] = False,
    home: Home = None,
    module: Modules = None,
    detach: Detach = False,
    as_json: AsJson = False,
) -> int:
    """Fork a workflow."""
    from deploy.cli.forking import Wanted, fork_it
    from deploy.cli.given import read_input, read_name, read_reason
    from deploy.cli.session import Session

    wanted = Wanted(
        workflow_id=workflow_id,
        at=at,
        given=tuple(given or ()),
        changes=read_input(given or []),
        by=read_name(by),
        reason=read_reason(reason),
        yes=yes,
        dry_run=dry_run,
        another=another,
        detach=detach,
    )
    return fork_it(Session(home, module, as_json=as_json), wanted)
