"""What `handrail projections` prints, and what it has done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from deploy.cli.exits import ExitCode
from deploy.cli.lines import one_line
from deploy.cli.screen import counted
from deploy.cli.session import Session
from domain.errors import InputInvalid

if TYPE_CHECKING:
    from projections.rebuilding import Report
    from projections.status import ViewsStatus

TOLD_EVENTS: Final = 100_000
"""How many events are folded between two words of how far it is."""
ERROR_CHARACTERS: Final = 100
KEY_CHARACTERS: Final = 80


def print_status(session: Session) -> ExitCode:
    """Print how the views are."""
    from projections.status import status_of

    with session.store() as store, store.reading() as cursor:
        found = status_of(cursor, store.mapper.read, store.texts)
    now = datetime.now(UTC)
    if session.screen.as_json:
        session.screen.document(_as_dict(found, now))
        return ExitCode.COMPLETED
    for line in _as_text(found, now):
        session.screen.text(line)
    return ExitCode.COMPLETED


def compare(session: Session, name: str, *, mend: bool) -> ExitCode:
    """Hold a view against the log, and mend it where that is asked for; print what differs."""
    from deploy import faults
    from projections.keeper import Keeper
    from projections.log import LogReader
    from projections.projector import catch_up
    from projections.rebuilding import Rebuild, chosen

    views = chosen(name)
    with session.store(read_only=False) as store:
        log = LogReader(store.recorder, store.mapper.read)
        if not session.shared:
            # A home may have nobody who keeps its views.
            catch_up(Keeper(store), log)
        faults.arm_from_environment()
        rebuild = Rebuild(store, log, views=views, tell=_teller(session))
        report = rebuild.run(mend=mend, now=datetime.now(UTC))
    _print_report(session, name, report)
    return ExitCode.COMPLETED if mend or not report.total else ExitCode.ENDED


def retry_some(session: Session, workflow_ids: Sequence[str], *, everything: bool) -> ExitCode:
    """Take parked workflows up again; print what became of each."""
    from projections.retrying import retry_parked

    if everything == bool(workflow_ids):
        raise InputInvalid("name the workflows that are to be taken up again, or say --all, and not both")
    with session.store(read_only=False) as store:
        done = retry_parked(store, store.mapper.read, None if everything else workflow_ids)
    if session.screen.as_json:
        session.screen.document({"folded": done.folded, "parked": done.parked})
    else:
        for workflow_id in done.folded:
            session.screen.text(f"{workflow_id} is in the views again")
        for workflow_id, error in done.parked.items():
            session.screen.text(f"{workflow_id} stays parked: {one_line(error, ERROR_CHARACTERS)}")
        if not (done.folded or done.parked):
            session.screen.text("nothing is parked")
    return ExitCode.ENDED if done.parked else ExitCode.COMPLETED


def _teller(session: Session) -> Callable[[int, int], None]:
    """Says now and then how far it is."""
    told = [0]

    def tell(position: int, goal: int) -> None:
        if position - told[0] >= TOLD_EVENTS:
            told[0] = position
            session.screen.note(f"event {position:,} of {goal:,}")

    return tell


def _print_report(session: Session, name: str, report: Report) -> None:
    from projections.rebuilding import ALL

    screen = session.screen
    if screen.as_json:
        screen.document(
            {
                "view": name,
                "position": report.position,
                "differing": report.differing,
                "rows": [{"view": one.view, "key": list(one.key), "how": one.how} for one in report.shown],
                "parked": report.parked,
                "mended": report.mended,
            }
        )
        return
    for one in report.shown:
        screen.text(f"{one.view} {one_line(' '.join(map(str, one.key)), KEY_CHARACTERS)} {one.how}")
    hidden = report.total - len(report.shown)
    if hidden:
        screen.text(f"… and {hidden:,} more")
    by_view = ", ".join(f"{view} {number:,}" for view, number in report.differing.items())
    none = "no row differs" if name == ALL else f"no row of {name} differs"
    what = f"rows that differ: {report.total:,} ({by_view})" if report.total else none
    mended = "; they are mended" if report.mended else ""
    screen.text(f"{what} at event {report.position:,}{mended}")
    if report.parked:
        parked = counted(report.parked, "workflow")
        screen.note(f"{parked} cannot be folded: see `handrail projections status`", "yellow")


def _as_dict(found: ViewsStatus, now: datetime) -> dict[str, Any]:
    return {
        "position": found.position,
        "newest": found.newest,
        "lag_events": found.lag.events,
        "lag_seconds": round(found.lag.seconds(now), 3),
        "rows": found.rows,
        "parked": [
            {"workflow_id": one.workflow_id, "position": one.position, "error": one.error} for one in found.parked
        ],
        "judged_at": found.judged_at.isoformat() if found.judged_at is not None else None,
        "due_at": found.due_at.isoformat() if found.due_at is not None else None,
    }


def _as_text(found: ViewsStatus, now: datetime) -> list[str]:
    behind = "up to date"
    if found.lag.events:
        behind = f"{counted(found.lag.events, 'event')}, {found.lag.seconds(now):.1f} s behind"
    lines = [f"views are at event {found.position:,} of {found.newest:,}: {behind}"]
    lines += [f"  rows in {name:<13} {number:>12,}" for name, number in found.rows.items()]
    lines.append(f"judged last: {_shown(found.judged_at)}; to be judged next: {_shown(found.due_at)}")
    for one in found.parked:
        lines.append(f"parked: {one.workflow_id} at event {one.position:,}: {one_line(one.error, ERROR_CHARACTERS)}")
    hidden = found.rows["parked_views"] - len(found.parked)
    if hidden:
        lines.append(f"… and {hidden:,} more are parked")
    return lines


def _shown(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
