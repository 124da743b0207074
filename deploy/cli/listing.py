"""`handrail list`: the view of workflows, brought up to date first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any, Final

from deploy.cli.exits import ExitCode
from deploy.cli.lines import one_line
from deploy.cli.screen import counted
from deploy.cli.session import Session
from domain.errors import ImportedReadOnly, InputInvalid, StoreUnavailable
from domain.state import Status

GOAL_CHARACTERS: Final = 60
WIDTH_ROWS: Final = 1_000
"""Rows that are looked at for the width of the column of ids."""


def check_status(given: str | None) -> str | None:
    """The status, where there is one of that name; raises InputInvalid."""
    known = [status.value for status in Status if status is not Status.NEW]
    if given is not None and given not in known:
        raise InputInvalid(f"--status {given!r} is none: choose one of {', '.join(known)}")
    return given


def print_list(session: Session, *, status: str | None, definition: str | None, tags: Mapping[str, str]) -> ExitCode:
    """Print the workflows, those in a status, of a definition and with these tags where they are given."""
    from deploy.cli.named import definition_named
    from domain.store.tombstones import how_many
    from projections.queries import list_workflows, withheld_workflows

    behind = bring_up_to_date(session)
    with session.store() as store:
        if behind:
            session.screen.note(behind, "yellow")
        definition = definition_named(session, store, definition)
        rows = list_workflows(store.query, status=status, definition=definition, tags=tags, texts=store.texts)
        if store.imported is not None and store.imported.withheld:
            session.screen.note("payloads are withheld: of workflows with such there is no more here than headers say")
            if status is None and definition is None and not tags:
                rows = chain(rows, withheld_workflows(store.query))
        for line in _as_json(rows) if session.screen.as_json else _as_text(rows):
            session.screen.text(line)
        if archived := how_many(store.query, definition):
            more = f"{archived:,} more {'is' if archived == 1 else 'are'} archived"
            session.screen.note(f"{more}; `handrail show ID` says where one is")
    return ExitCode.COMPLETED


def bring_up_to_date(session: Session) -> str:
    """Fold what the views do not have yet; what to say where they cannot be: a store that can be read is shown.

    What is folded here is looked at as soon as somebody judges, by thresholds that are not known here.
    """
    from projections.keeper import Keeper
    from projections.log import LogReader
    from projections.projector import catch_up

    try:
        with session.store(read_only=False) as store:
            keeper = Keeper(store)
            catch_up(keeper, LogReader(store.recorder, store.mapper.read))
    except ImportedReadOnly:
        return ""  # what is in it was folded when it was imported
    except StoreUnavailable as error:
        return f"the list may be behind: {error}"
    if keeper.parked:
        parked = f"{counted(keeper.parked, 'workflow')} {'is' if keeper.parked == 1 else 'are'}"
        return f"{parked} shown as before: events of which cannot be read any more"
    return ""


def _as_json(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    """One array, an element a line."""
    before = "["
    for row in rows:
        yield f"{before}{json.dumps(row, ensure_ascii=False)}"
        before = ","
    yield "[]" if before == "[" else "]"


def _as_text(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    # A list may be long: the first rows say how wide the ids are.
    first = list(islice(rows, WIDTH_ROWS))
    width = max((len(row["workflow_id"]) for row in first), default=0)
    head = f"{'ID':<{width}} {'STATUS':<13} {'STEPS':>7}  {'STARTED':<19}  {'WAITS FOR':<24} GOAL"
    for row in chain(first, rows):
        if head:
            yield head
            head = ""
        waits = ", ".join(sorted({wait["reason"] for wait in row["waits"]}))
        steps = f"{row['settled_count']}/{row['step_count']}"
        started = (row["started_at"] or "")[:19].replace("T", " ")
        goal = one_line(row["goal"], GOAL_CHARACTERS)
        name = f"{row['workflow_id']:<{width}}"
        yield f"{name} {row['status']:<13} {steps:>7}  {started:<19}  {waits:<24} {goal}".rstrip()
