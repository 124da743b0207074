"""`handrail reconcile`: every outstanding command and pending approval, again: after the broker lost its queues."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.cli.options import OPERATE, AsJson, Modules, help_text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "reconcile",
        rich_help_panel=OPERATE,
        help=help_text(
            "Issue every outstanding step command, and ask for every pending approval, again: after the broker lost "
            "its queues. Serving processes do the same by themselves, slowly. What was not lost is there twice then, "
            "which is harmless.",
            "handrail reconcile --dry-run",
            "handrail reconcile --module my.workflows",
        ),
    )(reconcile)


def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be issued.")] = False,
    module: Modules = None,
    as_json: AsJson = False,
) -> int:
    """Issue again what is outstanding."""
    from dataclasses import asdict

    from deploy import process
    from deploy.cli.exits import ExitCode
    from deploy.cli.place import modules_of
    from deploy.cli.screen import Screen, counted
    from deploy.loading import load
    from deploy.runtime import utc_now
    from deploy.serving.parts import Parts
    from deploy.settings import load_settings

    settings, definitions = load_settings(), load(modules_of(module or []))
    screen = Screen(as_json=as_json)

    async def work() -> int:
        parts = await Parts.open(settings, definitions, utc_now)
        try:
            done = await parts.outbound.outstanding.reconcile(dry_run=dry_run)
        finally:
            await parts.close()
        if as_json:
            screen.document({"dry_run": dry_run, **asdict(done)})
            return ExitCode.COMPLETED
        if dry_run:
            commands, approvals = counted(done.commands, "command"), counted(done.approvals, "approval")
            screen.text(f"{commands} and {approvals} would be issued again")
        else:
            screen.text(f"{done.commands_sent:,} of {counted(done.commands, 'outstanding command')} issued again")
            screen.text(f"{done.approvals_sent:,} of {counted(done.approvals, 'pending approval')} asked for again")
        if done.parked:
            parked = counted(done.parked, "event")
            screen.text(f"{parked} not sent, a queue is full or missing: `handrail topology check`")
        all_sent = dry_run or (done.commands_sent == done.commands and done.approvals_sent == done.approvals)
        return ExitCode.COMPLETED if all_sent else ExitCode.INTERNAL

    return process.run(work())
