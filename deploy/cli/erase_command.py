"""`handrail erase`: take a person's data out of workflows that have ended, for good; the chain stays whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.options import KEEP, AsJson, By, Home, help_text

if TYPE_CHECKING:
    from deploy.cli.screen import Screen
    from deploy.erasing import Erased

SHOWN = 10
"""Relatives that are named."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "erase",
        rich_help_panel=KEEP,
        help=help_text(
            "Erase workflows that have ended: the keys of their payloads are destroyed, and with them goal, inputs, "
            "outputs, reasons and failures; artifacts, snapshots and view texts go too. Headers (who, when, which "
            "event) and digests stay, so that the chain, seals and exports still verify. It takes a store whose "
            "payloads are encrypted (`handrail keys`). Backups and exports made before still hold the data.",
            'handrail erase wf_014 --by ann --reason "request of 3 May" --dry-run',
            'handrail erase wf_014 wf_020 --by ann --reason "request of 3 May" --yes',
            'handrail erase wf_014 --family --by ann --reason "request of 3 May" --yes --json',
        ),
    )(erase)


def erase(
    workflow_ids: Annotated[list[str], typer.Argument(metavar="ID…", help="The workflows.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept.")],
    by: By = None,
    family: Annotated[
        bool, typer.Option("--family", help="Their parents, children and forks too, and the relatives of those.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> int:
    """Erase."""
    from deploy import faults
    from deploy.cli.exits import ExitCode
    from deploy.cli.given import read_name, read_reason
    from deploy.cli.many import agreed
    from deploy.cli.person import at_terminal
    from deploy.cli.place import existing_home, is_shared
    from deploy.cli.screen import Screen
    from deploy.cli.stores import open_any_store
    from deploy.erasing import Erasing, checked_ids
    from deploy.settings import load_settings
    from domain.errors import InputInvalid

    who, why = read_name(by), read_reason(reason, needed=True)
    screen, shared = Screen(as_json=as_json), is_shared(home)
    faults.arm_from_environment()
    with open_any_store(home) as store:
        folder = load_settings().artifacts if shared else existing_home(home)
        erasing = Erasing(store, folder, by=who, reason=why, shared=shared)
        names = checked_ids(workflow_ids)
        erasing.bring_up_to_date()
        if family:
            names = erasing.family(names)
        found = [erasing.look(name) for name in names]
        if not dry_run and not yes and any(not one.before for one in found):
            if as_json or not at_terminal():
                raise InputInvalid(
                    "erasing cannot be undone, and nobody can be asked here: say with --yes that it is wanted, or look "
                    "first with --dry-run"
                )
            _tell(screen, found, dry_run=True)
            if not agreed("this cannot be undone; erase them? [y/N] "):
                screen.note("nothing was erased")
                return ExitCode.REFUSED
        if not dry_run:
            found = [erasing.erase(name) for name in names]
            erasing.finish()
    if as_json:
        from dataclasses import asdict

        screen.document({"dry_run": dry_run, "by": who, "reason": why, "workflows": [asdict(one) for one in found]})
        return ExitCode.COMPLETED
    _tell(screen, found, dry_run=dry_run)
    if not dry_run:
        screen.note(
            "backups and exports made before still hold the data: remove them too, or drop the key that wrapped it "
            "(`handrail keys rotate`, then take the old key out of every copy of the ring)"
            + ("; on PostgreSQL, VACUUM workflow_keys and the views, and let old WAL go" if shared else "")
        )
    return ExitCode.COMPLETED


def _tell(screen: Screen, found: list[Erased], *, dry_run: bool) -> None:
    from deploy.cli.screen import counted

    names = {one.workflow_id for one in found}
    for one in found:
        if one.before:
            screen.text(f"{one.workflow_id}: was {one.before}")
            continue
        what = f"the payloads of {counted(one.events, 'event')}, and {counted(one.artifacts, 'artifact')}"
        screen.text(f"{one.workflow_id}: {what} {'would be' if dry_run else 'are'} erased")
    archived = {name: file for one in found for name, file in one.archived.items()}
    others = sorted({name for one in found for name in one.relatives} - names - archived.keys())
    if others:
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        shown = ", ".join(others[:SHOWN]) + more
        screen.note(f"relatives that may hold data of it too, and are not erased by this: {shown} (--family)")
    for name, file in sorted(archived.items()):
        screen.note(f"{name} was archived, and may hold data of it too: in {file}, which no erasing reaches", "yellow")
