"""`handrail failures`: what fails, together by its make: how often, since when, and for how many a person is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from deploy.cli.exits import ExitCode
from deploy.cli.lines import one_line
from deploy.cli.session import Session

if TYPE_CHECKING:
    from projections.failures import FailureMake

MESSAGE_CHARACTERS: Final = 80


def print_failures(session: Session, *, definition: str | None, since: datetime | None) -> ExitCode:
    """Print the makes of failure, the last seen first; those of a definition, those seen since then (in UTC)."""
    from deploy.cli.listing import bring_up_to_date
    from deploy.cli.named import definition_named
    from deploy.cli.timers import note_import
    from projections.failures import failures
    from projections.sql import text_of

    behind = bring_up_to_date(session)
    if behind:
        session.screen.note(behind, "yellow")
    with session.store() as store:
        definition = definition_named(session, store, definition)
        found = failures(store.query, definition=definition, since=text_of(since) or "")
        note_import(session, store, "nothing of it can be changed")
        can_change = store.imported is None
    if session.screen.as_json:
        session.screen.document([one.as_dict() for one in found])
        return ExitCode.COMPLETED
    for line in _as_text(found):
        session.screen.text(line)
    retryable = next((one.fingerprint for one in found if one.waiting), None)
    if can_change and retryable is not None:
        session.screen.note(
            f"`{session.place.command('retry')} --fingerprint {retryable} --reason …` retries the steps that wait"
        )
    return ExitCode.COMPLETED


def _as_text(found: Sequence[FailureMake]) -> Iterator[str]:
    if not found:
        yield "nothing has failed"
        return
    width = max(12, *(len(one.activity) for one in found))
    yield (
        f"{'FINGERPRINT':<16} {'ACTIVITY':<{width}} {'CLASS':<15} {'COUNT':>7} {'FAILED':>6} {'WAITING':>7}  "
        f"{'FIRST SEEN':<19}  {'LAST SEEN':<19}  MESSAGE"
    )
    for one in found:
        yield (
            f"{one.fingerprint:<16} {one.activity:<{width}} {one.kind:<15} {one.count:>7} {one.failed:>6} "
            f"{one.waiting:>7}  {_instant(one.first_seen)}  {_instant(one.last_seen)}  "
            f"{one_line(one.message, MESSAGE_CHARACTERS)}"
        ).rstrip()


def _instant(text: str) -> str:
    return text[:19].replace("T", " ")
