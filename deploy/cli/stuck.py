"""`handrail stuck`: the workflows that do not go on, why, since when, and what would help."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from deploy.cli.exits import ExitCode
from deploy.cli.lines import one_line
from deploy.cli.pending import Place
from deploy.cli.screen import counted
from deploy.cli.session import Session
from deploy.loading import LoadedDefinitions
from domain.errors import DefinitionInvalid, EventCorrupt, EventUnknown, PayloadWithheld, StoreUnavailable
from domain.store.application import WorkflowStore
from projections.causes import Cause
from projections.judging import JUDGED_AT_ONCE
from projections.keeper import Keeper
from projections.thresholds import LAG

WATCH_SECONDS: Final = 2.0
MOST_JUDGED: Final = 50_000
"""Workflows of a home that are looked at in one go."""
ALL_VIEWS: Final = "all views"
UNHEARD: Final = (
    "the broker does not say how queues are: what waits in one is called a backlog, also where nobody consumes it "
    "(`handrail doctor`)"
)

_SHOW: Final = "handrail show {id}"
_RETRY: Final = "handrail retry {id} --step {step} --reason TEXT"
# What helps, on a store that others serve; `{id}` is the workflow, `{step}` the step that it is stuck by. Words in
# capitals are for whoever types it; whether something was applied nobody can take over from here unread.
HELP: Final[Mapping[Cause, str]] = {
    Cause.NO_CONSUMER: "handrail serve activities",
    Cause.BACKLOG: "handrail serve activities --concurrency N",
    Cause.LEASE_LAPSED: "handrail serve timer",
    Cause.RETRYING_TOO_LONG: _SHOW,
    Cause.DEAD_LETTERED: _RETRY,
    Cause.COMMAND_PARKED: "handrail topology apply && handrail reconcile",
    Cause.COMMAND_LOST: "handrail reconcile",
    Cause.TIMER_OVERDUE: "handrail serve timer",
    Cause.APPROVAL_OVERDUE: "handrail approve {id} --step {step} --by WHO",
    Cause.OUTCOME_UNKNOWN: "handrail settle {id} --step {step} --as [not-]applied --reason TEXT",
    Cause.INTERVENTION_NEEDED: _SHOW,
    Cause.COMPENSATION_FAILED: _RETRY,
    Cause.DEFINITION_MISSING: "handrail serve activities --module MODULE",
    Cause.REPLAY_MISMATCH: "handrail replay {id}",
    Cause.PROJECTION_LAG: "handrail serve projector",
}
# On a home nobody serves: whoever goes on with it is whoever resumes it.
_AT_HOME: Final[Mapping[Cause, str]] = {
    **dict.fromkeys(
        (Cause.NO_CONSUMER, Cause.BACKLOG, Cause.LEASE_LAPSED, Cause.COMMAND_LOST, Cause.TIMER_OVERDUE),
        "handrail resume {id}",
    ),
    Cause.DEFINITION_MISSING: "handrail resume {id} --module MODULE",
}


def print_stuck(session: Session, *, definition: str | None, watch: bool) -> ExitCode:
    """Print what is stuck, the longest first; with `watch` again whenever it changes, until interrupted.

    A store that goes away meanwhile is waited for.
    """
    before: list[dict[str, Any]] | None = None
    noted: list[str] = []
    is_away = False
    definitions = _definitions(session)
    while True:
        try:
            rows, notes = look(session, definition, definitions)
        except StoreUnavailable as error:
            if before is None:
                raise
            is_away, rows, notes = True, before, [f"what is stuck may have changed: {error}"]
        else:
            if is_away:
                is_away = False
                session.screen.note("the store answers again")
        for note in notes:
            if note not in noted:
                session.screen.note(note, "yellow")
        if rows != before:
            for line in _as_json(rows) if session.screen.as_json else _as_text(rows):
                session.screen.text(line)
        if not watch:
            return ExitCode.COMPLETED
        before, noted = rows, notes
        try:
            time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            return ExitCode.COMPLETED


def _definitions(session: Session) -> LoadedDefinitions:
    """The definitions by which a home is judged: what they say of their activities are thresholds, too."""
    from deploy.cli.replaying import loaded

    if session.shared:
        return LoadedDefinitions()  # it was judged by those who serve it
    try:
        return loaded(session)
    except DefinitionInvalid as error:
        session.screen.note(f"judged without what definitions say of their activities: {error}", "yellow")
        return LoadedDefinitions()


def look(
    session: Session, definition: str | None, definitions: LoadedDefinitions
) -> tuple[list[dict[str, Any]], list[str]]:
    """What is stuck now, each with what would help, first the views, where they are behind; and what to know of it."""
    from deploy.cli.named import definition_named
    from projections.queries import stuck_workflows

    if not session.shared:
        _judge_here(session, definitions)
    with session.store() as store:
        definition = definition_named(session, store, definition)
        found = [
            _shown(row, session.place, shared=session.shared)
            for row in stuck_workflows(store.query, definition=definition, texts=store.texts)
        ]
        notes: list[str] = []
        return [*_behind(session, store, notes), *found], notes


def _shown(row: Mapping[str, Any], place: Place, *, shared: bool) -> dict[str, Any]:
    cause = Cause(row["stuck_cause"])
    helps = help_for(cause, row["stuck_key"] or "", shared=shared)
    step = shlex.quote(row["stuck_step"] or "STEP")
    return {
        "workflow_id": row["workflow_id"],
        "cause": cause.value,
        "since": row["stuck_since"],
        "step": row["stuck_step"],
        "definition": row["definition"],
        "status": row["status"],
        "goal": row["goal"],
        "help": typed(helps.format(id=row["workflow_id"], step=step), replace(place, modules=()) if shared else place),
    }


def help_for(cause: Cause, key: str, *, shared: bool = True) -> str:
    """The command that would help; `key` names the hold that a workflow is stuck by."""
    if cause is Cause.APPROVAL_OVERDUE and not key.endswith(":approval"):
        return _RETRY  # it has expired: a person is asked what now, and tried again it asks for an approval anew
    if cause is Cause.DEAD_LETTERED and key.startswith("trouble:"):
        return _SHOW  # it is being tried again
    if cause is Cause.DEFINITION_MISSING and key == "unasked" and shared:
        return "handrail serve relay --module MODULE"  # in place of the one that has led without it
    return HELP[cause] if shared else _AT_HOME.get(cause, HELP[cause])


def typed(commands: str, place: Place) -> str:
    """The commands with the options that lead them to the same data; on a shared store there are none."""
    program, options = shlex.quote(place.program), shlex.join(place.options)
    whole = (f"{program}{command.removeprefix('handrail')} {options}" for command in commands.split(" && "))
    return " && ".join(command.rstrip() for command in whole)


def _behind(session: Session, store: WorkflowStore, notes: list[str]) -> Iterator[dict[str, Any]]:
    """The views themselves, where what they say is old, or nobody judges what they say."""
    from deploy.settings import load_settings
    from projections.lag import Lag, is_unheard, lag_of, unjudged_since

    now = datetime.now(UTC)
    with store.reading() as cursor:
        # A home was judged a moment ago.
        unjudged = unjudged_since(cursor, now) if session.shared else None
        if session.shared and is_unheard(cursor, now):
            notes.append(UNHEARD)
        try:
            lag = lag_of(cursor, store.mapper.read)
        except (EventCorrupt, EventUnknown, PayloadWithheld) as error:
            notes.append(f"since when the views are behind cannot be said: {error}")
            lag = Lag(0)
    if lag.since is not None and now - lag.since > (load_settings().stuck.lag or LAG):
        yield _of_views(lag.since, f"{counted(lag.events, 'event')} behind")
    elif unjudged is not None:
        yield _of_views(unjudged, "not judged")


def _of_views(since: datetime, status: str) -> dict[str, Any]:
    return {
        "workflow_id": ALL_VIEWS,
        "cause": Cause.PROJECTION_LAG.value,
        "since": since.isoformat(),
        "step": "",
        "definition": "",
        "status": status,
        "goal": "",
        "help": HELP[Cause.PROJECTION_LAG],
    }


def _judge_here(session: Session, definitions: LoadedDefinitions) -> None:
    """Bring the views of a home up to date, and judge where whoever holds it does not, or nobody holds it."""
    from deploy.lock import is_held
    from deploy.settings import load_settings
    from deploy.stuck_facts import facts_of
    from deploy.thresholds import thresholds_of
    from projections.log import LogReader
    from projections.projector import catch_up
    from projections.stuck import LOOKS_APART_SECONDS, QueueFacts, judge

    thresholds = thresholds_of(load_settings().stuck, definitions)
    try:
        with session.store(read_only=False) as store:
            held = is_held(session.home)
            keeper = Keeper(store, thresholds=None if held else thresholds)
            catch_up(keeper, LogReader(store.recorder, store.mapper.read))
            now = datetime.now(UTC)
            if held and _is_judged(store, now):
                return
            if not held:
                _look_sooner(keeper, thresholds.digest, now)
            # Those too that are due within the moment that looks are rounded up by.
            rows = keeper.to_judge(now + timedelta(seconds=LOOKS_APART_SECONDS), MOST_JUDGED)
            # Whoever holds a home runs whatever is scheduled in it.
            queues = {hold.queue: QueueFacts(int(held)) for row in rows for hold in row.standing.live.values()}
            facts = facts_of(store, rows, queues)
            keeper.judged([(row, judge(row, facts, now, thresholds)) for row in rows])
    except StoreUnavailable as error:
        session.screen.note(f"what is stuck may have changed: {error}", "yellow")


def _is_judged(store: WorkflowStore, now: datetime) -> bool:
    """Whether somebody judges what is due: a process that hangs does not."""
    from projections.lag import unjudged_since

    with store.reading() as cursor:
        return unjudged_since(cursor, now) is None


def _look_sooner(keeper: Keeper, digest: int, now: datetime) -> None:
    """Look by the thresholds of now where the last ones were others, at as many as are judged in one go."""
    if keeper.judged_by() == digest:
        return
    looked = ""
    for _ in range(MOST_JUDGED // JUDGED_AT_ONCE):
        last = keeper.look_sooner(looked, now, JUDGED_AT_ONCE)
        if last is None:
            keeper.note_judged_by(digest)
            return
        looked = last


def _as_json(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield json.dumps(rows, ensure_ascii=False, indent=2)


def _as_text(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not rows:
        yield "nothing is stuck"
        return
    width = max(12, *(len(row["workflow_id"]) for row in rows))
    yield f"{'ID':<{width}} {'CAUSE':<19} {'SINCE':<19}  {'STEP':<20} HELP"
    for row in rows:
        since = row["since"][:19].replace("T", " ")
        step = one_line(row["step"], 20)
        yield f"{row['workflow_id']:<{width}} {row['cause']:<19} {since:<19}  {step:<20} {row['help']}".rstrip()
