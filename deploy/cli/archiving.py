"""`handrail archive`: what was asked for is checked, the file written and verified, and what it holds removed."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy import faults
from deploy.archiving.choosing import DAMAGED, Leaving, Ripe, Wanted
from deploy.archiving.files import Verified, verify, write
from deploy.archiving.removing import DEFAULT_RATE, By, Removed, Removing
from deploy.cli.dead import read_rate
from deploy.cli.exits import ExitCode
from deploy.cli.exporting import check_definition
from deploy.cli.given import read_duration, read_name, read_reason
from deploy.cli.listing import bring_up_to_date
from deploy.cli.named import spelt
from deploy.cli.person import at_terminal
from deploy.cli.screen import counted
from deploy.cli.session import Session
from deploy.signing import SigningKey, signing_key
from domain.errors import InputInvalid

if TYPE_CHECKING:
    from domain.store.application import WorkflowStore

PROGRESS_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says."""

    older_than: str
    output: Path | None
    definition: str | None
    by: str | None
    reason: str | None
    sign: Path | None
    rate: str | None
    dry_run: bool
    yes: bool


def run_archive(session: Session, asked: Asked) -> ExitCode:
    """Archive, and say what was done. Raises InputInvalid or StoreUnavailable."""
    faults.arm_from_environment()
    began = time.monotonic()
    now = datetime.now(UTC)
    wanted = Wanted(now - read_duration(asked.older_than, "--older-than"), asked.definition)
    who, why = read_name(asked.by), read_reason(asked.reason, needed=not asked.dry_run)
    rate = DEFAULT_RATE if asked.rate is None else read_rate(asked.rate)
    target = asked.output.absolute() if asked.output is not None else None
    if target is None and not asked.dry_run:
        raise InputInvalid("-o FILE is missing: name the file that is to hold the workflows")
    key = signing_key(asked.sign) if asked.sign is not None else None
    session.must_exist()
    behind = bring_up_to_date(session)
    if behind:
        session.screen.note(behind, "yellow")
    with session.store(read_only=False) as store:
        if wanted.definition is not None:
            name = spelt(store, wanted.definition)
            check_definition(session, store, name)
            wanted = replace(wanted, definition=name)
        if target is None or asked.dry_run:
            return _show(session, store, wanted)
        return _Archive(session, store, wanted, target, key).run(By(who, why, str(target)), rate, began, yes=asked.yes)


def _show(session: Session, store: WorkflowStore, wanted: Wanted) -> ExitCode:
    ripe = Ripe(store.query, wanted)
    workflows, events = Leaving(store, store.mapper.clear, wanted, ripe).count()
    if session.screen.as_json:
        session.screen.document({"workflows": workflows, "events": events, "kept": dict(ripe.kept)})
        return ExitCode.COMPLETED
    session.screen.text(
        f"{counted(workflows, 'workflow')} with {counted(events, 'event')} would be archived: they ended before "
        f"{wanted.before:%Y-%m-%d %H:%M:%S} UTC"
    )
    _tell_kept(session, ripe.kept)
    return ExitCode.COMPLETED


def _tell_kept(session: Session, kept: Counter[str]) -> None:
    for reason, number in sorted((+kept).items()):
        stay = "stays" if number == 1 else "stay"
        session.screen.note(f"{counted(number, 'workflow')} {stay} in the store: {reason}", "yellow")


class _Archive:
    """One archive: a file, and what becomes of the workflows in it."""

    def __init__(
        self, session: Session, store: WorkflowStore, wanted: Wanted, target: Path, key: SigningKey | None
    ) -> None:
        self._session = session
        self._store = store
        self._wanted = wanted
        self._target = target
        self._key = key
        self._said_at = time.monotonic()
        self._kept: Counter[str] = Counter()

    def run(self, by: By, rate: float, began: float, *, yes: bool) -> ExitCode:
        """Write the file where there is none, verify it, and remove what it holds."""
        screen = self._session.screen
        goes_on = self._target.exists()
        if goes_on and not self._target.is_file():
            raise InputInvalid(f"{self._target} is no plain file; name one")
        if goes_on:
            screen.note(f"{self._target} is there already: going on with it")
        elif not self._write():
            _tell_kept(self._session, self._kept)
            return self._sum_up(None, Removed(kept=self._kept), began)
        verified = verify(self._target, self._key)
        screen.note(
            f"{self._target} holds {counted(verified.workflows, 'workflow')} with {counted(verified.events, 'event')}, "
            "read back from the disk and sound"
        )
        if not yes and at_terminal() and not _agreed("remove them from the store? [y/N] "):
            screen.note("nothing was removed; the same command goes on")
            return ExitCode.REFUSED
        removing = Removing(
            self._store,
            self._wanted,
            by,
            clock=lambda: datetime.now(UTC),
            seconds=time.monotonic,
            pause=time.sleep,
            rate=rate,
            tell=self._tell_removed,
        )
        removed = removing.run(self._target, verified)
        removed.kept.update(self._kept)
        if goes_on and not removed.workflows and not removed.kept.total():
            self._refuse_more()
        _tell_kept(self._session, removed.kept)
        return self._sum_up(verified, removed, began)

    def _write(self) -> bool:
        ripe = Ripe(self._store.query, self._wanted)
        leaving = Leaving(self._store, self._store.mapper.clear, self._wanted, ripe)
        written = write(self._target, leaving, self._key, self._tell_written)
        self._kept = ripe.kept
        return written

    def _refuse_more(self) -> None:
        """All of the file is archived: others need a file of their own, and whoever asks for that must hear it."""
        workflows, _ = Leaving(
            self._store, self._store.mapper.clear, self._wanted, Ripe(self._store.query, self._wanted)
        ).count()
        if workflows:
            raise InputInvalid(
                f"{self._target} is of an archive that has ended, and {counted(workflows, 'more workflow')} could go: "
                "name another file for them"
            )

    def _tell_written(self, workflows: int, events: int) -> None:
        if self._is_time():
            self._session.screen.note(f"written: {counted(events, 'event')} of {counted(workflows, 'workflow')}")

    def _tell_removed(self, removed: Removed) -> None:
        if self._is_time():
            workflows = counted(removed.workflows, "workflow")
            self._session.screen.note(f"removed: {counted(removed.events, 'event')} of {workflows}")

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._said_at < PROGRESS_SECONDS:
            return False
        self._said_at = now
        return True

    def _sum_up(self, verified: Verified | None, removed: Removed, began: float) -> ExitCode:
        seconds = time.monotonic() - began
        code = ExitCode.ENDED if removed.kept[DAMAGED] else ExitCode.COMPLETED
        if self._session.screen.as_json:
            self._session.screen.document(
                {
                    "file": str(self._target) if verified is not None else None,
                    "workflows": removed.workflows,
                    "events": removed.events,
                    "archived_before": removed.before,
                    "root": verified.root if verified is not None else None,
                    "kept": dict(+removed.kept),
                    "seconds": round(seconds, 3),
                    "exit_code": int(code),
                }
            )
            return code
        if verified is None:
            self._session.screen.text("there is nothing to archive; no file was written")
            return code
        earlier = f" ({removed.before:,} of the file were archived before)" if removed.before else ""
        self._session.screen.text(
            f"archived {counted(removed.workflows, 'workflow')} with {counted(removed.events, 'event')}{earlier} in "
            f"{seconds:,.1f} s, {removed.workflows / max(seconds, 0.001):,.0f} workflows/s; keep {self._target}"
        )
        return code


def _agreed(question: str) -> bool:
    """Whether the person at the terminal says yes."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
