"""`handrail import FILE --read-only`: what was asked for is imported, told on the way, and summed up."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from deploy.cli.exits import ExitCode
from deploy.cli.screen import Screen, counted
from deploy.importing import import_export
from deploy.settings import load_settings
from deploy.signing import INSTALL, signature_check
from deploy.thresholds import thresholds_of
from domain.errors import InputInvalid

PROGRESS_SECONDS: Final = 2.0


def run_import(screen: Screen, file: Path, home: Path, key: Path | None) -> ExitCode:
    """Make the home, and say what is in it. Raises InputInvalid or StoreUnavailable; then nothing was made."""
    progress = _Progress(screen)
    check = signature_check(key) if key is not None else None
    if key is not None and check is None:
        raise InputInvalid(f"--key: the signature cannot be checked; {INSTALL}")
    done = import_export(
        file,
        home,
        check_signature=check,
        key=key,
        thresholds=thresholds_of(load_settings().stuck, ()),
        tell=progress.tell,
    )
    if screen.as_json:
        screen.document({"file": str(file), "home": str(home), **asdict(done)})
    else:
        screen.text(f"{home} holds {counted(done.workflows, 'workflow')} with {counted(done.events, 'event')}")
        screen.text("not signed" if done.signature == "none" else f"signature {done.signature}")
    if done.withheld:
        withheld, incomplete = counted(done.withheld, "payload"), counted(done.incomplete, "workflow")
        screen.note(
            f"{withheld} withheld: of {incomplete} no more than headers is known from there on, so that list and "
            "failures do not have all of them"
        )
    if done.signature == "not checked":
        screen.note("signature not checked: give the signer's public key with --key", "yellow")
    return ExitCode.COMPLETED


class _Progress:
    """Says on stderr, every other second, what is being done and how far it has come."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._said_at = time.monotonic()

    def tell(self, what: str, events: int) -> None:
        now = time.monotonic()
        if now - self._said_at >= PROGRESS_SECONDS:
            self._said_at = now
            self._screen.note(f"{what}: {counted(events, 'event')}" if events else what)
