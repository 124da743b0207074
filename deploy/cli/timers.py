"""`handrail timers`: what will wake workflows, and when; what is overdue first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from deploy.cli.exits import ExitCode
from deploy.cli.given import read_future
from deploy.cli.lines import one_line
from deploy.cli.session import Session

if TYPE_CHECKING:
    from domain.store.application import WorkflowStore

STEP_CHARACTERS: Final = 20
PAUSED: Final = "paused"
# What a wait is for, by its reason, in the words of this list.
WHAT_FOR: Final[Mapping[str, str]] = {
    "retry": "retry",
    "probe": "asking what came of it",
    "time": "time",
    "approval": "approval deadline",
    "signal": "signal deadline",
    "child": "child deadline",
}


def print_timers(session: Session, *, due_before: str | None, definition: str | None, limit: int) -> ExitCode:
    """Print up to `limit` of them; those due before an instant, or within a time; those of a definition.

    Raises InputInvalid where `due_before` is neither.
    """
    from deploy.cli.listing import bring_up_to_date
    from deploy.cli.named import definition_named
    from projections.queries import timers
    from projections.sql import text_of

    now = datetime.now(UTC)
    before = None if due_before is None else text_of(read_future(due_before, "--due-before", now))
    behind = bring_up_to_date(session)
    if behind:
        session.screen.note(behind, "yellow")
    with session.store() as store:
        definition = definition_named(session, store, definition)
        found = list(islice(timers(store.query, before=before, definition=definition), limit + 1))
        note_import(session, store, "nothing wakes its workflows here")
    rows = [_shown(row, text_of(now) or "") for row in found[:limit]]
    if session.screen.as_json:
        session.screen.document(rows)
    else:
        for line in _as_text(rows):
            session.screen.text(line)
    note_more(session, shown=limit, found=len(found))
    return ExitCode.COMPLETED


def note_import(session: Session, store: WorkflowStore, what: str) -> None:
    """Say of an import that it is one, and what it does not have."""
    if store.imported is None:
        return
    session.screen.note(f"this is an import: {what}")
    if store.imported.withheld:
        session.screen.note("payloads are withheld: of workflows with such there is no more here than headers say")


def note_more(session: Session, *, shown: int, found: int) -> None:
    """Say that there are more than were asked for."""
    if found > shown:
        session.screen.note(f"there are more than these {shown:,}: --limit N shows N of them")


def _shown(row: Mapping[str, Any], now: str) -> dict[str, Any]:
    return {
        "workflow_id": row["workflow_id"],
        "definition": row["definition"],
        "status": row["status"],
        "step": row["step"],
        "reason": row["reason"],
        "name": row["name"],
        "since": row["since"],
        "due_at": row["due_at"],
        "overdue": row["due_at"] <= now and row["status"] != PAUSED,
    }


def _as_text(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not rows:
        yield "nothing is set to wake a workflow"
        return
    width = max(12, *(len(row["workflow_id"]) for row in rows))
    words = max(map(len, WHAT_FOR.values()))
    yield f"{'DUE':<19}  {'':<7}  {'ID':<{width}} {'STEP':<{STEP_CHARACTERS}} {'FOR':<{words}} DEFINITION"
    for row in rows:
        due = row["due_at"][:19].replace("T", " ")
        mark = "overdue" if row["overdue"] else PAUSED if row["status"] == PAUSED else ""
        step = one_line(row["step"], STEP_CHARACTERS)
        what = WHAT_FOR.get(row["reason"], row["reason"])
        yield (
            f"{due:<19}  {mark:<7}  {row['workflow_id']:<{width}} {step:<{STEP_CHARACTERS}} {what:<{words}} "
            f"{one_line(row['definition'], 60)}"
        ).rstrip()
