"""`handrail doctor`: is everything as it must be? Each line says ok, or what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.cli.options import KEEP, AsJson, Home, Modules, help_text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "doctor",
        rich_help_panel=KEEP,
        help=help_text(
            "Look at all that Handrail runs on: versions, settings, rights, replication, clocks, queues, dead letters. "
            "Each line begins with ok, note (nothing to do, or not asked), warn or mend, and says what to do. Exit "
            "code 0: nothing to do; 1: something to think about; 2: something to mend. Without HANDRAIL_STORE it looks "
            "at a home.",
            "handrail doctor --module my.workflows",
            "handrail doctor --json",
            "handrail doctor --home .handrail",
        ),
    )(doctor)


def doctor(
    *,
    seconds: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1.0, max=600.0, help="How long each check may take.")
    ] = 20.0,
    home: Home = None,
    module: Modules = None,
    as_json: AsJson = False,
) -> int:
    """Look at everything."""
    from deploy import process
    from deploy.cli.diagnosis import diagnose
    from deploy.cli.screen import Screen

    return process.run(diagnose(home, module or [], Screen(as_json=as_json), seconds=seconds))
