"""`handrail failures`: what fails, together by its make: how often, since when, and for how many a person is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from deploy.cli.exits import ExitCode
from deploy.cli.lines import one_line
from deploy.cli.session import Session

if TYPE_CHECKING:
    from projections.failures import FailureMake

MESSAGE_CHARACTERS: Final = 80


def print_failures(session: Session, *, definition: str | None, since: timedelta | None) -> ExitCode:
    """Print the makes of failure, the last seen first; those of a definition, those seen since so long ago."""
    from deploy.cli.listing import bring_up_to_date
    from deploy.cli.stuck import no_workflows_of
    from projections.failures import failures
    from projections.queries import has_definition
    from projections.sql import text_of

    behind = bring_up_to_date(session)
    if behind:
        session.screen.note(behind, "yellow")
    earliest = "" if since is None else text_of(datetime.now(UTC) - since) or ""
    with session.store() as store:
        found = failures(store.query, definition=definition, since=earliest)
        if definition is not None and not has_definition(store.query, definition):
            session.screen.note(no_workflows_of(definition), "yellow")
    if session.screen.as_json:
        session.screen.document([one.as_dict() for one in found])
        return ExitCode.COMPLETED
    for line in _as_text(found):
        session.screen.text(line)
    retryable = next((one.fingerprint for one in found if one.waiting), None)
    if retryable is not None:
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
