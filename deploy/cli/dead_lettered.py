"""`handrail failures --dead`: commands that the transport gave up, where their steps stand now, and what would help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from deploy.cli.exits import ExitCode
from deploy.cli.lines import one_line
from deploy.cli.pending import WHO, Place
from deploy.cli.screen import counted
from deploy.cli.session import Session
from domain.ids import attempts_made
from domain.state import Status, StepStatus

WHY_CHARACTERS: Final = 60
STEP_CHARACTERS: Final = 20

_ENDED: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.COMPENSATED})
_SETTLED: Final = frozenset({StepStatus.OK, StepStatus.SKIPPED, StepStatus.COMPENSATED})


def print_dead_lettered(session: Session, *, definition: str | None, since: datetime | None, limit: int) -> ExitCode:
    """Print up to `limit` of them, the last first; those of a definition, those given up since then (in UTC)."""
    from deploy.cli.listing import bring_up_to_date
    from deploy.cli.named import definition_named
    from deploy.cli.timers import note_import, note_more
    from domain.store.tombstones import how_many
    from projections.queries import dead_lettered
    from projections.sql import text_of

    behind = bring_up_to_date(session)
    if behind:
        session.screen.note(behind, "yellow")
    with session.store() as store:
        definition = definition_named(session, store, definition)
        asked = dead_lettered(store.query, since=text_of(since) or "", definition=definition, texts=store.texts)
        found = list(islice(asked, limit + 1))
        note_import(session, store, "nothing of it can be changed")
        place = session.place if store.imported is None else None
        archived = how_many(store.query, definition)
    rows = [_shown(row, place) for row in found[:limit]]
    if session.screen.as_json:
        session.screen.document(rows)
    else:
        for line in _as_text(rows):
            session.screen.text(line)
    note_more(session, shown=limit, found=len(found))
    if archived:
        session.screen.note(f"those of {counted(archived, 'archived workflow')} are not here any more")
    return ExitCode.COMPLETED


def _shown(row: Mapping[str, Any], place: Place | None) -> dict[str, Any]:
    return {
        "workflow_id": row["workflow_id"],
        "definition": row["definition"],
        "step": row["step"],
        "kind": row["kind"],
        "attempt": row["attempt"],
        "activity": row["activity"],
        "at": row["ended_at"],
        "why": row["failure"],
        "status": row["status"],
        "step_status": row["step_status"],
        "waits_for": row["waits_for"],
        "help": "" if place is None else help_for(row, place),
    }


def help_for(row: Mapping[str, Any], place: Place) -> str:
    """The command that would help with the step as it stands now; empty where it is over."""
    name, step = row["workflow_id"], row["step"]
    if row["status"] in _ENDED or row["step_status"] in _SETTLED:
        return ""
    commands: dict[str, tuple[str, ...]] = {
        "approval": ("approve", name, "--step", step, "--by", WHO),
        "budget": ("extend", name, "--attempts", "10", "--reason", "TEXT"),
        "intervention": ("retry", name, "--step", step, "--reason", "TEXT"),
        "outcome_unknown": ("settle", name, "--step", step, "--as", "APPLIED-OR-NOT-APPLIED", "--reason", "TEXT"),
    }
    if row["status"] == Status.PAUSED:
        return place.command("unpause", name, "--reason", "TEXT")
    if row["waits_for"] in commands:
        return place.command(*commands[row["waits_for"]])
    return place.command("show", name)  # it goes on by itself; how, and until when, is shown


def _as_text(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not rows:
        yield "no command was given up"
        return
    width = max(12, *(len(row["workflow_id"]) for row in rows))
    activities = max(8, *(len(row["activity"]) for row in rows))
    yield (
        f"{'WHEN':<19}  {'ID':<{width}} {'STEP':<{STEP_CHARACTERS}} {'KIND':<10} {'ATTEMPT':>7} "
        f"{'ACTIVITY':<{activities}} {'STANDS':<30} {'WHY':<{WHY_CHARACTERS}} HELP"
    )
    for row in rows:
        yield (
            f"{row['at'][:19].replace('T', ' ')}  {row['workflow_id']:<{width}} "
            f"{one_line(row['step'], STEP_CHARACTERS):<{STEP_CHARACTERS}} {row['kind']:<10} "
            f"{attempts_made(row['attempt']):>7} {row['activity']:<{activities}} {_stands(row):<30} "
            f"{one_line(row['why'], WHY_CHARACTERS):<{WHY_CHARACTERS}} {row['help']}"
        ).rstrip()


def _stands(row: Mapping[str, Any]) -> str:
    """Where the step stands, or its workflow where that is over or the step is one of the engine's own."""
    if row["status"] in _ENDED or row["step_status"] is None:
        return str(row["status"])
    if row["step_status"] in _SETTLED:
        return str(row["step_status"])
    return ", ".join(filter(None, (row["step_status"], row["waits_for"])))
