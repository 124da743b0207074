"""`handrail restore`: go on from a backup that was put back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.options import KEEP, AsJson, By, Home, Modules, help_text
from domain.errors import HomeBusy

if TYPE_CHECKING:
    from deploy.cli.screen import Screen
    from deploy.loading import LoadedDefinitions
    from deploy.restoring import Restored
    from domain.store.application import WorkflowStore

SHOWN = 20
"""Workflows that could not be told: so many are named."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "restore",
        rich_help_panel=KEEP,
        help=help_text(
            "Go on from a backup that was put back. What came after it has happened in the world and is not known to "
            "the store any more: every step that may happen but once, and may have happened, becomes an unknown "
            "outcome when its turn comes; everything else is asked for again. Stop every process before the backup is "
            "put back, and run this before the first one starts. Interrupted, run it again: it goes on.",
            'handrail restore --by ann --reason "disk of db1 broke" --dry-run',
            'handrail restore --by ann --reason "disk of db1 broke" --module my.workflows',
            'handrail restore --home /srv/handrail --by ann --reason "put monday back"',
        ),
    )(restore)


def restore(
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept.")],
    by: By = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be done.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Do it although other processes seem to use the store: they must not.")
    ] = False,
    doubt_goals_for: Annotated[
        str,
        typer.Option(
            "--doubt-goals-for",
            metavar="TIME",
            help="Goals sent until then may be repeats of some that are lost: they are asked about too, e.g. 2h, 1d.",
        ),
    ] = "1h",
    home: Home = None,
    module: Modules = None,
    as_json: AsJson = False,
) -> int:
    """Restore."""
    from deploy import faults
    from deploy.cli.exits import ExitCode
    from deploy.cli.given import read_duration, read_name, read_reason
    from deploy.cli.place import is_shared, modules_of
    from deploy.cli.screen import Screen, counted
    from deploy.loading import load
    from deploy.restoring import Restoring
    from deploy.runtime import utc_now

    who, why = read_name(by), read_reason(reason, needed=True)
    doubt_seconds = read_duration(doubt_goals_for, "--doubt-goals-for").total_seconds()
    screen, shared = Screen(as_json=as_json), is_shared(home)
    definitions = load(modules_of(module or []))
    faults.arm_from_environment()
    with (_shared_store if shared else _home_store)(home, definitions, force=force) as store:
        restoring = Restoring(store, utc_now, by=who, reason=why, shared=shared)

        def progress(looked_at: int) -> None:
            screen.note(f"{counted(looked_at, 'workflow')} looked at")

        done = restoring.rehearse(progress) if dry_run else restoring.restore(progress, doubt_seconds=doubt_seconds)
    _tell(screen, done, dry_run=dry_run, shared=shared, as_json=as_json)
    return ExitCode.COMPLETED if done.finished else ExitCode.INTERNAL


@contextlib.contextmanager
def _shared_store(_: str | None, definitions: LoadedDefinitions, *, force: bool) -> Iterator[WorkflowStore]:
    from deploy.addresses import needed, store_address
    from deploy.keyring import covers_of
    from deploy.opened import SCHEMA
    from deploy.settings import load_settings
    from domain.store.opening import open_postgres_store
    from domain.store.others_postgres import others

    settings = load_settings()
    address = needed(store_address(settings), "store")
    using = others(address.url)
    if using and not force:
        raise HomeBusy(
            f"store {address.shown} is in use by {', '.join(using)}: stop every process of Handrail (what they hold in "
            "memory is of the time that was lost), then run this again; with --force where they are none of its"
        )
    store = open_postgres_store(
        address.url, definitions=definitions, schema=SCHEMA, restoring=True, covers=covers_of(settings)
    )
    with contextlib.closing(store):
        _check_claims(store, address.shown, force=force)
        yield store


@contextlib.contextmanager
def _home_store(home: str | None, definitions: LoadedDefinitions, *, force: bool) -> Iterator[WorkflowStore]:
    from deploy.cli.place import existing_home
    from deploy.lock import HomeLock
    from deploy.opened import open_store

    folder = existing_home(home)
    lock = HomeLock(folder)
    if not lock.try_acquire() and not force:
        raise HomeBusy(f"home {folder} is in use: end the process that holds it, then run this again")
    try:
        store = open_store(folder, definitions, restoring=True)
        with contextlib.closing(store):
            yield store
    finally:
        lock.release()


def _check_claims(store: WorkflowStore, shown: str, *, force: bool) -> None:
    from consumers.restoring import live_claims

    if not force and (claims := live_claims(store)):
        raise HomeBusy(
            f"store {shown} has {claims} claims that have not run out: a process may be at work on them. Stop it, and "
            "wait for its lease to end (30 s); with --force where nothing runs any more"
        )


def _tell(screen: Screen, done: Restored, *, dry_run: bool, shared: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from deploy.cli.screen import counted

    if as_json:
        screen.document({"dry_run": dry_run, "finished": done.finished, **asdict(done)})
        return
    would = "would be " if dry_run else ""
    screen.text(f"{counted(done.looked_at, 'workflow')} looked at, {done.open:,} of them open")
    screen.text(f"{counted(done.unknown, 'step')} {would}stopped as outcome_unknown")
    screen.text(f"{counted(done.commands, 'command')} {would}issued again")
    if done.undefined:
        screen.note(f"{done.undefined:,} of them wait for a definition that is not loaded here (--module): not counted")
    for workflow_id, error in list(done.failed.items())[:SHOWN]:
        screen.note(f"{workflow_id} could not be told: {error}")
    if len(done.failed) > SHOWN:
        screen.note(f"and {len(done.failed) - SHOWN} more")
    if dry_run:
        return
    if not done.finished:
        screen.note("it has not ended: mend that and run `handrail restore` again; until then nothing else starts")
    elif shared:
        screen.note(
            f"epoch {done.epoch} has begun; now start the processes: `handrail serve …`, then `handrail reconcile`"
        )
    else:
        screen.note(f"epoch {done.epoch} has begun; now `handrail resume` goes on")
