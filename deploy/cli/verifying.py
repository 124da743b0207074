"""`handrail verify FILE [--store]`: a file held against its own digests, and a store against the heads in the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.cli.exits import ExitCode
from deploy.cli.screen import Screen, counted
from deploy.reread import Reread, reread
from deploy.signing import INSTALL, signature_check
from domain.errors import InputInvalid
from projections.exporting.against import HeldAgainst, heads_in
from projections.exporting.verifying import LINE_BYTES, Finding, Verdict, Verification

if TYPE_CHECKING:
    from deploy.cli.session import Session


def run_verify(screen: Screen, file: Path, key: Path | None, session: Session | None = None) -> ExitCode:
    """Check a file, and say what is wrong; with a `session`, then its store, where the file is sound.

    Raises InputInvalid where file or key cannot be read, or there is no store; with a store, also where the file
    cannot be read twice, or is another one the second time.
    """
    holds = signature_check(key) if key is not None else None
    checking = Verification(holds, demanded=key is not None)
    held: HeldAgainst | None = None
    if session is None:
        verdict = checking.run(_lines(file))
    else:
        with reread(file) as source:
            verdict = checking.run(_told(source.path, source.lines()))
            if verdict.sound:
                held = _hold(source, session, verdict)
    code = _exit_code(verdict, held)
    if screen.as_json:
        screen.document(_document(verdict, held, code))
    else:
        _tell(screen, verdict, held)
    if verdict.signature == "not checked":
        why = INSTALL if key is not None else "give the signer's public key with --key"
        screen.note(f"signature not checked: {why}", "yellow")
    if session is not None and held is None:
        screen.note("the store was not looked at: a file that was changed says nothing of it", "yellow")
    return code


def _hold(source: Reread, session: Session, verdict: Verdict) -> HeldAgainst:
    """Hold the store against the heads of a file that was verified."""
    held, verified = HeldAgainst(), source.digest
    with session.store() as store:
        held.hold(store, store.mapper.clear, heads_in(_told(source.path, source.lines())))
        if source.digest != verified:
            raise InputInvalid(f"{source.path} was changed while it was read: nothing is known of the store")
        if verdict.everything:
            held.hold_others(store, store.mapper.clear)
    return held


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as opened:
            yield from iter(lambda: opened.readline(LINE_BYTES), b"")
    except OSError as error:
        raise InputInvalid(f"{file}: cannot be read: {error.strerror or error}") from error


def _told(file: Path, lines: Iterator[bytes]) -> Iterator[bytes]:
    """The lines; raises InputInvalid where the file cannot be read."""
    try:
        yield from lines
    except OSError as error:
        raise InputInvalid(f"{file}: cannot be read: {error.strerror or error}") from error


def _exit_code(verdict: Verdict, held: HeldAgainst | None) -> ExitCode:
    if not verdict.sound or (held is not None and held.findings):
        return ExitCode.ENDED
    return ExitCode.WAITING if verdict.signature == "not checked" else ExitCode.COMPLETED


def _document(verdict: Verdict, held: HeldAgainst | None, code: ExitCode) -> dict[str, Any]:
    document: dict[str, Any] = {
        "sound": verdict.sound,
        "workflows": verdict.workflows,
        "events": verdict.events,
        "root": verdict.root,
        "signature": verdict.signature,
        "signer": verdict.signer,
        "findings": [asdict(one) for one in verdict.findings],
        "more": verdict.more,
        "exit_code": int(code),
    }
    if held is not None:
        document["store"] = {
            "sound": not held.findings,
            "workflows": held.workflows,
            "events": held.events,
            "archived": held.archived,
            "later": {"workflows": held.others, "events": held.other_events},
            "findings": [asdict(one) for one in held.findings],
            "more": held.more,
        }
    return document


def _tell(screen: Screen, verdict: Verdict, held: HeldAgainst | None) -> None:
    _tell_findings(screen, verdict.findings, verdict.more)
    word = "sound" if verdict.sound else "WRONG"
    screen.text(f"{word}: {_size(verdict.workflows, verdict.events)}, root {verdict.root}")
    screen.text("not signed" if verdict.signature == "none" else f"signature {verdict.signature}")
    if held is not None:
        _tell_findings(screen, held.findings, held.more)
        word = "WRONG" if held.findings else "sound"
        archived = f", {held.archived:,} of them archived" if held.archived else ""
        later = f", and {held.others:,} that began later, with {counted(held.other_events, 'event')}"
        screen.text(f"{word}: the store, {_size(held.workflows, held.events, archived)}{later if held.others else ''}")


def _size(workflows: int, events: int, more: str = "") -> str:
    return f"{counted(workflows, 'workflow')}{more}, {counted(events, 'event')}"


def _tell_findings(screen: Screen, findings: tuple[Finding, ...] | list[Finding], more: int) -> None:
    for one in findings:
        place = f"line {one.line}" if one.line else "the store"
        about = f", workflow {one.workflow}" if one.workflow else ""
        about += f", event {one.version}" if one.version else ""
        screen.text(f"{place}{about}: {one.check}: {one.words}")
    if more:
        screen.text(f"and {more} more")
