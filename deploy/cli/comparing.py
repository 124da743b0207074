"""`handrail compare ID [ID2]`: where two runs part, and what differed. It reads, and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from deploy.cli.exits import ExitCode
from deploy.cli.replay_text import shown, wrapped
from deploy.cli.replaying import Reader
from deploy.cli.screen import counted
from deploy.cli.session import Session
from domain.errors import EventCorrupt, InputInvalid
from domain.events import Event, WorkflowForked
from domain.replay import fold
from projections.replaying.parting import Comparison, Point, What, compare
from projections.replaying.reading import last_completed
from projections.replaying.report import foldable, status_of
from projections.replaying.verdict import Difference, definition_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.recorded import RecordedEvent
    from projections.replaying.reading import History

FORMAT: Final = "handrail.compare.v1"
DATA_SHOWN: Final = 10
PARTS_SHOWN: Final = 3
VALUE_CHARACTERS: Final = 60

_WORDS: Final = {
    What.DEFINITION: "the definition",
    What.INPUT: "the input",
    What.PLAN: "the plan",
    What.POLICY: "the policy's verdict",
    What.DECISION: "the approval",
    What.OUTCOME: "the outcome",
    What.OPERATOR: "what an operator did",
    What.ORDER: "the order",
    What.UNFINISHED: "how far it has come",
}


def print_comparison(session: Session, workflow_id: str, other_id: str | None) -> ExitCode:
    """Print where two runs part. Raises WorkflowUnknown, or InputInvalid where there is nothing to compare with."""
    with session.store() as store, store.reading() as cursor:
        reader = Reader(store, cursor)
        history = reader.history(workflow_id)
        here = _events(workflow_id, history)
        name, version = definition_of(here[0].event)
        chosen = other_id is None
        if other_id is None:
            other_id = last_completed(cursor, store.mapper.read, name, version, besides=workflow_id)
        if other_id is None:
            raise InputInvalid(
                f"no other workflow of definition {name!r} has completed, as far as the views know: "
                f"name one, as in `{session.place.command('compare', workflow_id, 'OTHER')}`"
            )
        other = reader.history(other_id)
        there = _events(other_id, other)
    found = compare(here, there)
    cut = _cut_between(here[0].event, other_id) or _cut_between(there[0].event, workflow_id)
    facts = {
        "format": FORMAT,
        "workflow": workflow_id,
        "other": other_id,
        "chosen": chosen,
        "position": history.position,
        "status": status_of(fold(here)),
        "other_status": status_of(fold(there)),
        "definition": f"{name} {version}",
        "other_definition": " ".join(definition_of(there[0].event)),
        "forked_at": cut,
        "withheld": _withheld_from(history),
        "other_withheld": _withheld_from(other),
    }
    for one in (history, other) if other_id != workflow_id else (history,):
        if one.broken is not None:
            command = session.place.command("replay", one.workflow_id)
            session.screen.note(f"do not believe this: {one.workflow_id} is damaged: {one.broken.words}; `{command}`")
    if session.screen.as_json:
        session.screen.document({**facts, **_document(found)})
    else:
        for line in _text(facts, found):
            session.screen.text(line)
    return ExitCode.COMPLETED if found.same else ExitCode.ENDED


def _withheld_from(history: History) -> int | None:
    """From which event on nothing is compared, since payloads are withheld; None where all are there."""
    return history.withheld[0].version if history.withheld else None


def _cut_between(event: Event, source: str) -> int | None:
    """Where a history that begins so was forked from this workflow; None where it was not."""
    return event.source_version if isinstance(event, WorkflowForked) and event.source == source else None


def _events(workflow_id: str, history: History) -> Sequence[RecordedEvent]:
    events, why = foldable(history.sound)
    if not events and history.withheld:
        raise InputInvalid(f"workflow {workflow_id} cannot be compared: the payload of its first event is withheld")
    if not events:
        raise EventCorrupt(f"workflow {workflow_id} has no event that can be read: `handrail replay` says why. {why}")
    return events


def _document(found: Comparison) -> dict[str, Any]:
    def told(point: Point | None) -> dict[str, Any] | None:
        return None if point is None else asdict(point)

    return {
        "same": found.same,
        "first_difference": told(found.first),
        "parting": told(found.parting),
        "order": told(found.order),
        "data": [asdict(point) for point in found.data],
        "same_way_events": found.events,
    }


def _text(facts: dict[str, Any], found: Comparison) -> Iterator[str]:
    both = f"{facts['workflow']} and {facts['other']}"
    if found.same:
        yield f"{both} went the same way with the same data: {counted(found.events, 'event')}"
    elif found.parting is not None:
        point = found.parting
        where = f"event {point.here}" if point.here is not None else "the end of the first"
        step = f" of {point.step}" if point.step else ""
        yield f"{both} part at {where}: {_WORDS[point.what]}{step}"
        yield from _sides(point)
    elif found.data:
        yield f"{both} went the same way; their data differ first at event {found.data[0].here}"
    elif found.order is not None:
        yield f"{both} did the same in another order, first at event {found.order.here}"
        yield from _sides(found.order)
    if found.parting is not None:
        yield from wrapped("before", f"{counted(found.events, 'event')} the same way{_before(found)}")
    yield from _data(found.data)
    yield from wrapped("here", f"{facts['workflow']}, {facts['status']}, of {facts['definition']}")
    why = ", the last of this definition that completed" if facts["chosen"] else ""
    yield from wrapped("there", f"{facts['other']}, {facts['other_status']}, of {facts['other_definition']}{why}")
    for workflow, version in ((facts["workflow"], facts["withheld"]), (facts["other"], facts["other_withheld"])):
        if version is not None:
            yield from wrapped("withheld", f"of {workflow} payloads from event {version} on: nothing is compared there")
    if facts["forked_at"] is not None:
        yield from wrapped("cut", f"one is a fork of the other at event {facts['forked_at']}: both from there on")
    yield from wrapped("store", f"log position {facts['position']}")


def _before(found: Comparison) -> str:
    if found.order is not None:
        return f", in another order from event {found.order.here} on"
    return "; data that differ are below" if found.data else ", with the same data"


def _sides(point: Point) -> Iterator[str]:
    here = f"event {point.here}: {point.here_words}" if point.here is not None else "nothing further"
    there = f"event {point.there}: {point.there_words}" if point.there is not None else "nothing further"
    yield from wrapped("here", here)
    yield from wrapped("there", there)
    for one in point.differences[:DATA_SHOWN]:
        yield from wrapped("", f"{one.path}: {_both(one)}")


def _data(points: Sequence[Point]) -> Iterator[str]:
    """Where data differ; what was copied on from an event above is told as such, in a line."""
    known: dict[tuple[str, str], int | None] = {}
    told = 0
    for number, point in enumerate(points):
        if told == DATA_SHOWN:
            yield from wrapped("", f"and {len(points) - number} events more (--json)")
            return
        step = f"{point.step} " if point.step else ""
        fresh = [one for one in point.differences if _key(one) not in known]
        lines = [f"{step}{one.path}: {_both(one)}" for one in fresh[:PARTS_SHOWN]]
        left = len(fresh) - PARTS_SHOWN
        if not fresh:
            lines = [f"{step}{one.path}: as in event {known[_key(one)]}" for one in point.differences[:1]]
            left = len(point.differences) - 1
        if left > 0:
            lines.append(f"and {left} {'part' if left == 1 else 'parts'} more{'' if fresh else ' as above'} (--json)")
        for place, line in enumerate(lines):
            yield from wrapped(f"event {point.here}" if place == 0 else "", line)
        known |= {_key(one): point.here for one in fresh}
        told += bool(fresh)


def _key(one: Difference) -> tuple[str, str]:
    """The same for a difference wherever it was copied to: the name of the part, and its two values."""
    return one.path.rpartition("/")[2], json.dumps([one.recorded, one.decided], sort_keys=True)


def _both(one: Difference) -> str:
    return f"{shown(one.recorded, VALUE_CHARACTERS)} here, {shown(one.decided, VALUE_CHARACTERS)} there"
