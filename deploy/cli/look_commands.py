"""What there is: list, show, history, definitions. None of them changes a workflow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from deploy.cli.options import LOOK, AsJson, Home, Modules, WorkflowId, help_text

LISTED: Final = 100
"""How many timers, or commands that were given up, are listed where nothing else is said."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "list",
        rich_help_panel=LOOK,
        help=help_text(
            "List workflows in the order in which they began.",
            "handrail list",
            'handrail list --status blocked --definition "vendor onboarding review"',
            "handrail list --status blocked --tag team=blue",
            "handrail list --json",
        ),
    )(list_workflows)
    app.command(
        "stuck",
        rich_help_panel=LOOK,
        help=help_text(
            "List the workflows that do not go on, the longest first: why, since when, and what would help. A home is "
            "judged by what the definitions of its modules say of their activities; a shared store was judged by those "
            "who serve it. With --watch, a store that goes away is waited for, and told of, until Ctrl-C.",
            "handrail stuck",
            "handrail stuck --watch",
            "handrail stuck --module my.workflows",
            'handrail stuck --definition "vendor onboarding review" --json',
        ),
    )(stuck)
    app.command(
        "failures",
        rich_help_panel=LOOK,
        help=help_text(
            "List what fails, grouped by fingerprint, the last seen first: how many attempts ended so, how many steps "
            "are failed with it now, and how many of them wait for a person. With --dead, list the commands that the "
            "broker gave up, the last first: why, where the step stands now, and what would help; what still lies in "
            "a dead queue is listed by handrail dead list.",
            "handrail failures",
            'handrail failures --since 24h --definition "vendor onboarding review"',
            "handrail failures --dead --since 24h",
            "handrail failures --json",
        ),
    )(failures)
    app.command(
        "timers",
        rich_help_panel=LOOK,
        help=help_text(
            "List what will wake workflows, and when, what is overdue first: retries, times waited for, the deadlines "
            "of approvals, signals and children. How long an attempt under way, or a whole workflow, may take is told "
            "by handrail show.",
            "handrail timers",
            'handrail timers --due-before 1h --definition "vendor onboarding review"',
            "handrail timers --due-before 2026-01-31T12:00:00Z --limit 1000 --json",
        ),
    )(timers)
    app.command(
        "show",
        rich_help_panel=LOOK,
        help=help_text(
            "Show where a workflow stands: its steps, what it waits for and what would move it, what would be undone.",
            "handrail show wf_001",
            "handrail show wf_001 --json",
        ),
    )(show)
    app.command(
        "history",
        rich_help_panel=LOOK,
        help=help_text(
            "Print every event of a workflow as JSON Lines, oldest first.",
            "handrail history wf_001",
            "handrail history wf_001 > wf_001.jsonl",
        ),
    )(history)
    app.command(
        "definitions",
        rich_help_panel=LOOK,
        help=help_text(
            "List the workflow definitions that are loaded.",
            "handrail definitions",
            "handrail definitions --module my.workflows --json",
        ),
    )(definitions)


def list_workflows(
    status: Annotated[
        str | None, typer.Option("--status", metavar="S", help="Only those in this status, for example blocked.")
    ] = None,
    definition: Annotated[
        str | None, typer.Option("--definition", metavar="NAME", help="Only workflows of this definition.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="K=V", help="Only those with this tag; repeatable.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> int:
    """List workflows."""
    from deploy.cli.given import read_tags
    from deploy.cli.listing import check_status, print_list
    from deploy.cli.session import Session

    session = Session(home, None, as_json=as_json)
    return print_list(session, status=check_status(status), definition=definition, tags=read_tags(tag or []))


def stuck(
    definition: Annotated[
        str | None, typer.Option("--definition", metavar="NAME", help="Only workflows of this definition.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every two seconds; print what has changed.")
    ] = False,
    home: Home = None,
    module: Modules = None,
    as_json: AsJson = False,
) -> int:
    """List what is stuck."""
    from deploy.cli.session import Session
    from deploy.cli.stuck import print_stuck

    return print_stuck(Session(home, module, as_json=as_json), definition=definition, watch=watch)


def failures(
    definition: Annotated[
        str | None, typer.Option("--definition", metavar="NAME", help="Only those of this definition, counted in it.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only those seen since then: 2026-01-31T12:00Z, 7d.")
    ] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Commands that the broker gave up, each by itself.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, max=10_000, help=f"With --dead: how many at most ({LISTED}).")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> int:
    """List what fails."""
    from deploy.cli.failures import print_failures
    from deploy.cli.given import read_past
    from deploy.cli.session import Session
    from domain.errors import InputInvalid

    earliest = None if since is None else read_past(since, "--since", datetime.now(UTC))
    session = Session(home, None, as_json=as_json)
    if dead:
        from deploy.cli.dead_lettered import print_dead_lettered

        return print_dead_lettered(session, definition=definition, since=earliest, limit=limit or LISTED)
    if limit is not None:
        raise InputInvalid("--limit goes with --dead: failures that are grouped are listed all")
    return print_failures(session, definition=definition, since=earliest)


def timers(
    due_before: Annotated[
        str | None,
        typer.Option(
            "--due-before",
            metavar="TIME",
            help="Only what is due before this instant, or in less than 7d, 12h, 30m, 45s.",
        ),
    ] = None,
    definition: Annotated[
        str | None, typer.Option("--definition", metavar="NAME", help="Only workflows of this definition.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many at most.")] = LISTED,
    home: Home = None,
    as_json: AsJson = False,
) -> int:
    """List what will wake workflows."""
    from deploy.cli.session import Session
    from deploy.cli.timers import print_timers

    session = Session(home, None, as_json=as_json)
    return print_timers(session, due_before=due_before, definition=definition, limit=limit)


def show(workflow_id: WorkflowId, home: Home = None, module: Modules = None, as_json: AsJson = False) -> int:
    """Show a workflow."""
    from deploy.cli.session import Session
    from deploy.cli.showing import print_workflow
    from domain.errors import PayloadWithheld

    session = Session(home, module, as_json=as_json)
    with session.store() as store:
        try:
            state = store.load(workflow_id)
        except PayloadWithheld as error:
            from deploy.cli.withheld import print_known

            return print_known(session, store, workflow_id, error)
        return print_workflow(session, store, state)


def history(
    workflow_id: WorkflowId,
    home: Home = None,
    as_json: Annotated[bool, typer.Option("--json", help="As it is: history is JSON Lines anyway.")] = False,
) -> int:
    """Print a workflow's events."""
    from deploy.cli.exits import ExitCode
    from deploy.cli.history import print_history
    from deploy.cli.session import Session
    from domain.errors import PayloadWithheld

    session = Session(home, None, as_json=as_json)
    with session.store() as store:
        try:
            events = store.read(workflow_id)
        except PayloadWithheld:
            from deploy.cli.withheld import known_lines

            for line in known_lines(store, workflow_id):
                session.screen.text(line)
            return ExitCode.COMPLETED
        return print_history(session, events)


def definitions(module: Modules = None, as_json: AsJson = False) -> int:
    """List definitions."""
    from deploy.cli.place import modules_of
    from deploy.cli.recipes import print_definitions

    return print_definitions(modules_of(module or []), as_json=as_json)
