"""`handrail keys`: the ring of keys that payloads are encrypted with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.options import KEEP, AsJson, Home, help_text

if TYPE_CHECKING:
    from deploy.cli.screen import Screen
    from deploy.keyring import RingFile
    from domain.store.application import WorkflowStore

keys = typer.Typer(
    help="Encryption of payloads: new, enable, status, rotate, rewrap. The ring is the file that "
    "HANDRAIL_ENCRYPTION_KEYS names (in the settings' file, encryption_keys).",
    rich_markup_mode="rich",
)

Force = Annotated[
    bool, typer.Option("--force", help="Do it although other processes seem to use the store: they must not.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(keys, name="keys", rich_help_panel=KEEP)


@keys.command(
    "new",
    help=help_text(
        "Make a key ring: a file of keys that its owner alone may read. Keep a copy apart from the store's backups: "
        "without it nothing that it encrypts can ever be read again.",
        "handrail keys new -o /etc/handrail/keys.json",
    ),
)
def new(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The ring; not to be there yet.")],
    as_json: AsJson = False,
) -> int:
    """Make a ring."""
    from deploy.cli.exits import ExitCode
    from deploy.cli.screen import Screen
    from deploy.keyring import check_package, new_ring
    from domain.errors import InputInvalid

    key_id = new_ring(output)
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document({"file": str(output), "current": key_id})
    else:
        screen.note(f"{output} holds key {key_id}; set HANDRAIL_ENCRYPTION_KEYS={output} wherever Handrail runs")
    try:
        check_package()
    except InputInvalid as error:
        # The ring may be for other machines, so it is made all the same.
        screen.note(f"here nothing can use it yet: {error}", "yellow")
    return ExitCode.COMPLETED


@keys.command(
    "enable",
    help=help_text(
        "Encrypt payloads from now on in a store that has workflows. What they have recorded so far stays in clear, "
        "for events never change. Stop every process first. A store without workflows needs none of this: it is "
        "encrypted as soon as it is opened with a ring. Interrupted, run it again.",
        "handrail keys enable",
    ),
)
def enable(force: Force = False, home: Home = None, as_json: AsJson = False) -> int:
    """Begin to encrypt."""
    from deploy import faults
    from deploy.cli.exits import ExitCode
    from deploy.cli.screen import Screen, counted
    from deploy.rewrapping import enable as enable_in
    from domain.store.covers import Covers
    from domain.store.erasing import counts

    screen, ring = Screen(as_json=as_json), _ring()
    faults.arm_from_environment()
    with _alone(home, force=force) as store:
        enable_in(store, Covers(ring), lambda count: screen.note(f"{counted(count, 'key')} wrapped"))
        _, _, in_clear, _ = counts(store.query)
    if as_json:
        screen.document({"current": ring.current, "began_in_clear": in_clear})
    else:
        began = counted(in_clear, "workflow")
        screen.text(f"payloads are encrypted from now on, with key {ring.current}; {began} began in clear")
    return ExitCode.COMPLETED


@keys.command(
    "status",
    help=help_text(
        "How many workflows are under which key of the ring, how many were erased, and how many began in clear.",
        "handrail keys status",
        "handrail keys status --json",
    ),
)
def status(home: Home = None, as_json: AsJson = False) -> int:
    """Count."""
    from deploy.cli.exits import ExitCode
    from deploy.cli.screen import Screen, counted
    from deploy.cli.stores import open_any_store
    from domain.store.erasing import counts

    screen = Screen(as_json=as_json)
    with open_any_store(home) as store:
        covers = store.mapper.covers
        under, erased, in_clear, without = counts(store.query)
    current = None if covers is None else covers.ring.current
    if as_json:
        told = {"encrypted": covers is not None, "current": current, "under": under, "erased": erased}
        screen.document({**told, "began_in_clear": in_clear, "in_clear": without})
        return ExitCode.COMPLETED
    if covers is None:
        open_ones = counted(without, "workflow")
        screen.text(f"payloads are in clear: {open_ones}; `handrail keys new` and `keys enable` change that")
        return ExitCode.COMPLETED
    for key_id, number in under.items():
        screen.text(f"{key_id}: {counted(number, 'workflow')}{', the current key' if key_id == current else ''}")
    if current not in under:
        screen.text(f"{current}: 0 workflows, the current key")
    screen.text(f"erased: {erased:,}")
    screen.text(f"began in clear: {in_clear:,}")
    if any(key_id != current for key_id in under):
        screen.note("`handrail keys rewrap` brings all under the current key; then older ones may leave the ring")
    return ExitCode.COMPLETED


@keys.command(
    "rotate",
    help=help_text(
        "Add a new key to the ring, which is the current one from then on, and wrap every workflow's key with it, "
        "while workflows run. Where the ring is on several machines: --add-only on one, copy it to the others, then "
        "`handrail keys rewrap`.",
        "handrail keys rotate",
        "handrail keys rotate --add-only",
    ),
)
def rotate(
    add_only: Annotated[
        bool, typer.Option("--add-only", help="Only add the key: `keys rewrap` does the rest.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> int:
    """Add a key and wrap with it."""
    from deploy.cli.exits import ExitCode
    from deploy.cli.screen import Screen

    screen, ring = Screen(as_json=as_json), _ring()
    if not add_only:
        _check_opens(home)
    added = ring.add()
    if add_only:
        if as_json:
            screen.document({"current": added, "wrapped": 0})
        else:
            screen.note(f"{ring.path} has key {added}; copy it to wherever Handrail runs, then `handrail keys rewrap`")
        return ExitCode.COMPLETED
    screen.note(f"{ring.path} has key {added}")
    return _rewrap(screen, home, as_json=as_json)


@keys.command(
    "rewrap",
    help=help_text(
        "Wrap every workflow's key with the ring's current key, while workflows run. Interrupted, run it again.",
        "handrail keys rewrap",
    ),
)
def rewrap(home: Home = None, as_json: AsJson = False) -> int:
    """Wrap with the current key."""
    from deploy.cli.screen import Screen

    _ring()
    return _rewrap(Screen(as_json=as_json), home, as_json=as_json)


def _rewrap(screen: Screen, home: str | None, *, as_json: bool) -> int:
    from deploy import faults
    from deploy.cli.exits import ExitCode
    from deploy.cli.screen import counted
    from deploy.cli.stores import open_any_store
    from deploy.rewrapping import rewrap as rewrap_in
    from domain.errors import Refused

    faults.arm_from_environment()
    with open_any_store(home) as store:
        covers = store.mapper.covers
        if covers is None:
            raise Refused("the payloads of this store are in clear: there is nothing to wrap")
        done = rewrap_in(store, covers, lambda count: screen.note(f"{counted(count, 'key')} wrapped"))
        current = covers.ring.current
    if as_json:
        screen.document({"current": current, "wrapped": done})
    else:
        screen.text(f"{counted(done, 'key')} wrapped with {current}; `handrail keys status` shows what is under which")
    return ExitCode.COMPLETED


def _ring() -> RingFile:
    """The ring that the settings name. Raises InputInvalid."""
    from deploy.keyring import RingFile
    from deploy.settings import load_settings
    from domain.errors import InputInvalid

    path = load_settings().encryption_keys
    if path is None:
        raise InputInvalid(
            "no key ring is named: `handrail keys new -o FILE` makes one, HANDRAIL_ENCRYPTION_KEYS=FILE names it"
        )
    return RingFile(path)


def _check_opens(home: str | None) -> None:
    """Raise what is wrong with the store before the ring is changed."""
    from deploy.cli.stores import open_any_store

    with open_any_store(home):
        pass


@contextlib.contextmanager
def _alone(home: str | None, *, force: bool) -> Iterator[WorkflowStore]:
    """The store, while nobody else uses it. Raises HomeBusy."""
    from deploy.cli.place import existing_home, is_shared
    from deploy.cli.stores import open_any_store
    from domain.errors import HomeBusy

    if is_shared(home):
        from deploy.addresses import needed, store_address
        from deploy.settings import load_settings
        from domain.store.others_postgres import others

        address = needed(store_address(load_settings()), "store")
        if not force and (using := others(address.url)):
            raise HomeBusy(
                f"store {address.shown} is in use by {', '.join(using)}: stop every process of Handrail, then run this "
                "again; with --force where they are none of its"
            )
        with open_any_store(home, enabling=True) as store:
            yield store
        return
    from deploy.lock import HomeLock

    folder = existing_home(home)
    lock = HomeLock(folder)
    if not lock.try_acquire() and not force:
        raise HomeBusy(f"home {folder} is in use: end the process that holds it, then run this again")
    try:
        with open_any_store(home, enabling=True) as store:
            yield store
    finally:
        lock.release()
