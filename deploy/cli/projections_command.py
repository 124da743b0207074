"""`handrail projections`: how the views are, built anew, compared with the log, parked workflows taken up again."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.cli.options import KEEP, AsJson, Home, help_text

projections = typer.Typer(help="The views: status, rebuild, verify, retry.", rich_markup_mode="rich")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A view, for example workflows or steps, or all.")]

_BESIDE = (
    "Folds the whole log beside the live views, which go on serving, and compares row for row; then holds them for a "
    "moment to compare at one position."
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(projections, name="projections", rich_help_panel=KEEP)


@projections.command(
    "status",
    help=help_text(
        "Show how far the views are behind the log, how many rows each has, what is parked and why, and when it was "
        "judged last what is stuck.",
        "handrail projections status",
        "handrail projections status --json",
    ),
)
def status(home: Home = None, as_json: AsJson = False) -> int:
    """Show."""
    from deploy.cli.projections import print_status
    from deploy.cli.session import Session

    return print_status(Session(home, None, as_json=as_json))


@projections.command(
    "rebuild",
    help=help_text(
        f"Build a view anew, and mend the rows that differ, all at once. {_BESIDE} Killed at any moment it leaves the "
        "views as they were.",
        "handrail projections rebuild all",
        "handrail projections rebuild steps --json",
    ),
)
def rebuild(name: Name, home: Home = None, as_json: AsJson = False) -> int:
    """Build anew."""
    from deploy.cli.projections import compare
    from deploy.cli.session import Session

    return compare(Session(home, None, as_json=as_json), name, mend=True)


@projections.command(
    "verify",
    help=help_text(
        f"Say which rows of a view are not as the log says; exit code 1 where there are any. {_BESIDE}",
        "handrail projections verify all",
        "handrail projections verify workflows --json",
    ),
)
def verify(name: Name, home: Home = None, as_json: AsJson = False) -> int:
    """Compare."""
    from deploy.cli.projections import compare
    from deploy.cli.session import Session

    return compare(Session(home, None, as_json=as_json), name, mend=False)


@projections.command(
    "retry",
    help=help_text(
        "Take parked workflows up again, after an upgrade that can read their events: each is folded anew, with its "
        "rows of every view. Those that still cannot be folded stay parked; exit code 1 where there are any.",
        "handrail projections retry wf_001 wf_002",
        "handrail projections retry --all",
    ),
)
def retry(
    workflow_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Parked workflows.", show_default=False)
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that are parked.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> int:
    """Take up again."""
    from deploy.cli.projections import retry_some
    from deploy.cli.session import Session

    return retry_some(Session(home, None, as_json=as_json), workflow_ids or [], everything=everything)
