"""Makes a home of an export, to be looked at and never changed.

The file is verified first, whole; then its events are put into a new store as they are, and the views are built from
them. All that happens in a folder beside the wanted one, which gets its name when it is whole and on the disk: an
import that is interrupted has made nothing. Memory does not grow with the file.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from deploy.loading import LoadedDefinitions
from deploy.opened import DATABASE_FILE, open_store
from deploy.reread import Reread, reread
from deploy.settings import load_settings
from domain.errors import InputInvalid, StoreUnavailable
from domain.store.application import WorkflowStore
from domain.store.backup_sqlite import at_rest
from domain.store.imported import Imported
from projections.exporting.entering import Entering, EventEntered, WorkflowBegun
from projections.exporting.jsonl import FIRST_LINE_OF_SEAL
from projections.exporting.verifying import CheckSignature, Finding, Verdict, Verification
from projections.keeper import Keeper
from projections.log import LogReader
from projections.projector import catch_up
from projections.thresholds import Thresholds

ROWS_AT_ONCE: Final = 1_000
"""Lines of the file that one transaction takes in."""
BYTES_AT_ONCE: Final = 8 * 1024 * 1024
FOLD_EVENTS: Final = 20_000
"""After so many events it is told how far the views have come."""
FOLDER_CHARACTERS: Final = 100

_INSERT: Final = "INSERT INTO stored_events (originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?)"
_KEEP_KEY: Final = "INSERT INTO workflow_keys (workflow_id, key) VALUES (?, '')"
"""The keys of workflows never leave a store: salts stand beside the events that need them."""

Tell = Callable[[str, int], None]
"""Hears what is being done, and with how many events so far."""


@dataclass(frozen=True, slots=True)
class ImportDone:
    """What an import came to. `signature`: `none`, `sound` or `not checked`; `parked`: workflows without views.

    `incomplete`: workflows of which payloads are withheld.
    """

    workflows: int
    events: int
    withheld: int
    incomplete: int
    parked: int
    root: str
    signature: str
    signer: str


def import_export(
    file: Path,
    home: Path,
    *,
    check_signature: CheckSignature | None = None,
    key: Path | None = None,
    thresholds: Thresholds | None = None,
    now: datetime | None = None,
    tell: Tell = lambda _what, _events: None,
) -> ImportDone:
    """Make the home; with `check_signature` the file must be signed, by the key in the file `key`.

    Raises InputInvalid where the file does not verify or the folder is not free, StoreUnavailable where the disk says
    no: then nothing was made.
    """
    _check_free(home)
    try:
        with reread(file) as source:
            tell("verifying", 0)
            verdict = _verified(source, check_signature, key)
            return _import(source, home, verdict, thresholds, now or datetime.now(UTC), tell)
    except OSError as error:
        raise StoreUnavailable(f"{error.filename or home}: {error.strerror or error}; nothing was imported") from error


def _import(
    source: Reread,
    home: Path,
    verdict: Verdict,
    thresholds: Thresholds | None,
    now: datetime,
    tell: Tell,
) -> ImportDone:
    verified = source.digest
    unfinished = Path(
        tempfile.mkdtemp(prefix=f".{home.name[:FOLDER_CHARACTERS]}.", suffix=".unfinished", dir=home.parent)
    )
    try:
        # What comes out of a file in clear is kept in clear, whatever ring this process has.
        in_clear = load_settings().model_copy(update={"encryption_keys": None})
        store = open_store(unfinished, LoadedDefinitions(), settings=in_clear)
        try:
            store.mapper.imported = True
            entering = Entering()
            _put_events(store, entering, source, tell)
            if source.digest != verified:
                raise InputInvalid(f"{source.path} was changed while it was read: nothing was imported")
            try:
                parked = _build_views(store, thresholds, tell)
            except OverflowError as error:
                raise InputInvalid(
                    f"{source.path} holds a number larger than any that Handrail writes: nothing was imported"
                ) from error
            store.run(
                Imported(
                    file=source.path.name,
                    at=now.astimezone(UTC).isoformat(),
                    latest=verdict.latest,
                    manifest=entering.manifest,
                    signature=entering.signature,
                    checked=verdict.signature,
                )
            )
        finally:
            store.close()
        at_rest(unfinished / DATABASE_FILE)
        _give_name(unfinished, home)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return ImportDone(
        entering.workflows,
        entering.events,
        entering.withheld,
        entering.incomplete,
        parked,
        verdict.root,
        verdict.signature,
        verdict.signer,
    )


def _check_free(home: Path) -> None:
    """Raise InputInvalid unless there is nothing at the place, or an empty folder."""
    if not home.name:
        raise InputInvalid(f"--home {home}: name a folder that is to be made")
    if not home.parent.is_dir():
        raise InputInvalid(f"the folder {home.parent} does not exist; make it, or name another")
    if os.path.lexists(home) and not (home.is_dir() and not home.is_symlink() and not any(home.iterdir())):
        raise InputInvalid(
            f"--home {home}: there is something already; an import makes a new home: name another folder"
        )


def _verified(source: Reread, check_signature: CheckSignature | None, key: Path | None) -> Verdict:
    first = next(source.lines(), b"")
    if first == FIRST_LINE_OF_SEAL:
        raise InputInvalid(f"{source.path} is a seal, which has no events: name an export")
    verdict = Verification(check_signature).run(source.lines())
    if not verdict.sound:
        more = len(verdict.findings) - 1 + verdict.more
        others = f", and {more:,} more" if more else ""
        command = ["handrail", "verify", str(source.path), *(["--key", str(key)] if key is not None else [])]
        raise InputInvalid(
            f"{source.path} does not verify, and nothing was imported: {_place(verdict.findings[0])}{others}; "
            f"`{shlex.join(command)}` names them"
        )
    return verdict


def _place(found: Finding) -> str:
    about = f", workflow {found.workflow}" if found.workflow else ""
    about += f", event {found.version}" if found.version else ""
    return f"line {found.line}{about}: {found.check}: {found.words}"


def _put_events(store: WorkflowStore, entering: Entering, source: Reread, tell: Tell) -> None:
    rows = entering.rows(source.lines())
    tell("importing", 0)
    while batch := _batch(rows):
        with store.transaction() as cursor:
            begun = [(one.workflow_id,) for one in batch if isinstance(one, WorkflowBegun)]
            cursor.executemany(_KEEP_KEY, begun)
            cursor.executemany(_INSERT, [one for one in batch if isinstance(one, EventEntered)])
        tell("importing", entering.events)


def _batch(rows: Iterator[WorkflowBegun | EventEntered]) -> list[WorkflowBegun | EventEntered]:
    """So many rows as one transaction takes: not too many, and not too large together."""
    batch: list[WorkflowBegun | EventEntered] = []
    size = 0
    for row in islice(rows, ROWS_AT_ONCE):
        batch.append(row)
        size += len(row.state) if isinstance(row, EventEntered) else 0
        if size >= BYTES_AT_ONCE:
            break
    return batch


def _build_views(store: WorkflowStore, thresholds: Thresholds | None, tell: Tell) -> int:
    """Fold the log into the views; how many workflows could not be folded, since payloads are withheld."""
    keeper = Keeper(store, thresholds=thresholds)
    log = LogReader(store.recorder, store.mapper.read)
    while catch_up(keeper, log, most_events=FOLD_EVENTS):
        tell("building views", keeper.position)
    return keeper.parked


def _give_name(unfinished: Path, home: Path) -> None:
    """Have the folder be the home; raises InputInvalid where something came into its place meanwhile."""
    (unfinished / DATABASE_FILE).chmod(stat.S_IRUSR)
    try:
        unfinished.replace(home)
    except OSError as error:
        raise InputInvalid(f"--home {home}: {error.strerror or error}; name another folder") from error
    for folder in (home, home.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
