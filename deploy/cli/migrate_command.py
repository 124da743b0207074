"""`handrail migrate`: the tables of a PostgreSQL store, brought to this version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.options import KEEP, AsJson, help_text

if TYPE_CHECKING:
    from domain.store.migrations_postgres import Half


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "migrate",
        help=help_text(
            "Bring the tables of the store that HANDRAIL_STORE names to this version. Run it before the new version "
            "starts, and with --after when the last process of the old one has ended. Again, it changes nothing.",
            "handrail migrate",
            "handrail migrate --dry-run",
            "handrail migrate --after",
        ),
        rich_help_panel=KEEP,
    )(migrate)


def migrate(
    after: Annotated[
        bool, typer.Option("--after", help="Take away what only the version before needed. It cannot be undone.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the statements that would run.")] = False,
    as_json: AsJson = False,
) -> int:
    """Migrate."""
    from deploy import faults
    from deploy.addresses import needed, store_address
    from deploy.cli.exits import ExitCode
    from deploy.cli.screen import Screen
    from deploy.migrations import MIGRATIONS
    from deploy.settings import load_settings
    from domain.store.migrations_postgres import migrate as run

    address = needed(store_address(load_settings()), "store")
    screen = Screen(as_json=as_json)
    faults.arm_from_environment()
    done = run(address.url, MIGRATIONS, after=after, dry_run=dry_run)
    if as_json:
        screen.document({"store": address.shown, "dry_run": dry_run, "migrations": [_as_dict(half) for half in done]})
        return ExitCode.COMPLETED
    for half in done:
        screen.text(f"{'would run' if dry_run else 'ran'} migration {half.migration.number}: {half.migration.name}")
        if dry_run:
            for statement in half.statements:
                screen.text(f"  {' '.join(statement.split())};")
    if not done:
        screen.text(f"store {address.shown}: nothing to do")
    return ExitCode.COMPLETED


def _as_dict(half: Half) -> dict[str, object]:
    return {
        "number": half.migration.number,
        "name": half.migration.name,
        "after": half.destructive,
        "statements": [" ".join(statement.split()) for statement in half.statements],
    }
