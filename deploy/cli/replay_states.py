"""`handrail replay ID --at`, `--diff`, `--walk`: the state as it was, what changed between two events, and a walk."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from deploy.cli.exits import ExitCode
from deploy.cli.given import read_instant
from deploy.cli.pending import pendings
from deploy.cli.replay_text import decision_lines, shown, text_of, wrapped
from deploy.cli.replaying import Reader, loaded
from deploy.cli.session import Session
from deploy.cli.showing import as_document, as_text
from domain.errors import EventCorrupt, InputInvalid
from domain.recorded import RecordedEvent
from domain.replay import fold
from domain.state import STATE, State
from projections.replaying.counting import counts_of
from projections.replaying.report import build, foldable
from projections.replaying.sentences import place
from projections.replaying.verdict import Difference, json_differences
from projections.replaying.words import instant, said

if TYPE_CHECKING:
    from projections.replaying.report import Report

_ALWAYS_DIFFERENT: Final = frozenset({"version", "head", "changed_at"})
_MOST_CHANGES: Final = 40


def print_state_at(session: Session, workflow_id: str, at: str) -> ExitCode:
    """Print the state as it was after an event, given by its number or an instant."""
    events, position = _events(session, workflow_id)
    version = version_at(events, at)
    state = fold(events, upto=version)
    recorded = events[version - 1]
    # What would have moved it then moves nothing now.
    waits = [replace(one, commands=()) for one in pendings(state, session.place)]
    if session.screen.as_json:
        told = {"position": position, "at": {"version": version, "time": recorded.timestamp.isoformat()}}
        session.screen.document({**told, **as_document(state, waits, events[:version])})
        return ExitCode.COMPLETED
    what = said(recorded, counts_of(events)).what
    session.screen.text(f"after event {version} of {len(events)}, {instant(recorded.timestamp)} UTC: {what}")
    for line in as_text(state, waits, events[:version]):
        session.screen.text(line)
    return ExitCode.COMPLETED


def print_changes(session: Session, workflow_id: str, first: int, second: int) -> ExitCode:
    """Print what changed in the state from one event to another."""
    events, position = _events(session, workflow_id)
    for version in (first, second):
        _check_version(events, version)
    changes = changes_between(fold(events, upto=first), fold(events, upto=second))
    if session.screen.as_json:
        listed = [{"path": one.path, "before": one.recorded, "after": one.decided} for one in changes]
        session.screen.document(
            {"workflow": workflow_id, "position": position, "from": first, "to": second, "changes": listed}
        )
        return ExitCode.COMPLETED
    low, high = sorted((first, second))
    counts = counts_of(events)
    for recorded in events[low:high]:
        session.screen.text(f"{recorded.originator_version:>6} {said(recorded, counts).what}")
    session.screen.text("")
    for line in _change_lines(changes):
        session.screen.text(line)
    return ExitCode.COMPLETED


def changes_between(before: State, after: State) -> list[Difference]:
    """Where two states differ; their versions and digests always do, and are left out."""
    return list(json_differences(_compared(before), _compared(after)))


def _compared(state: State) -> dict[str, Any]:
    dumped: dict[str, Any] = STATE.dump_python(state, mode="json")
    return {name: value for name, value in dumped.items() if name not in _ALWAYS_DIFFERENT}


def _change_lines(changes: Sequence[Difference]) -> Iterator[str]:
    for one in changes[:_MOST_CHANGES]:
        yield f"  {one.path}"
        yield from wrapped("before", shown(one.recorded), indent=4)
        yield from wrapped("after", shown(one.decided), indent=4)
    if len(changes) > _MOST_CHANGES:
        yield f"  and {len(changes) - _MOST_CHANGES} more (--json)"
    if not changes:
        yield "  nothing of the state changed"


def version_at(events: Sequence[RecordedEvent], given: str) -> int:
    """The event that `--at` means: its number, or the last one at or before an instant. Raises InputInvalid."""
    if re.fullmatch("[0-9]{1,9}", given):
        return _check_version(events, int(given))
    at = read_instant(given, "--at")
    found = [one.originator_version for one in events if one.timestamp <= at]
    if not found:
        raise InputInvalid(f"--at {given}: the workflow began later, at {events[0].timestamp.isoformat()}")
    return max(found)


def _check_version(events: Sequence[RecordedEvent], version: int) -> int:
    if not 1 <= version <= len(events):
        raise InputInvalid(f"there is no event {version} that can be folded: this workflow has 1 to {len(events)}")
    return version


def _events(session: Session, workflow_id: str) -> tuple[Sequence[RecordedEvent], int]:
    """The events that can be folded, and the position of the log."""
    with session.store() as store, store.reading() as cursor:
        history = Reader(store, cursor).history(workflow_id)
    events, _ = foldable(history.sound)
    if not events:
        if history.withheld:
            raise InputInvalid(f"workflow {workflow_id} cannot be folded: the payload of its first event is withheld")
        why = history.unreadable[0].why if history.unreadable else "its first event is missing"
        raise EventCorrupt(f"workflow {workflow_id} cannot be folded: {why}")
    return events, history.position


# --- the walk -------------------------------------------------------------------------------------------------------

KEYS: Final = (
    "Enter or n: next · p: previous · NUMBER: that event · f: first cause · b: what it came of · "
    "s: state · d: what it changed · a: the answer · q: end"
)


def walk(session: Session, workflow_id: str, *, ask: Callable[[str], str] = input) -> ExitCode:
    """Go through a workflow event by event; what is typed says where to."""
    with session.store() as store, store.reading() as cursor:
        reader = Reader(store, cursor)
        history = reader.history(workflow_id)
        report = build(history, loaded(session), reader.family, reader.counted, reader.completed)
    events, _ = foldable(history.sound)
    walker = _Walker(session, report, events)
    session.screen.note(KEYS)
    walker.show()
    while True:
        try:
            typed = ask(f"event {walker.at} of {report.version}> ").strip()
        except EOFError:
            return ExitCode.COMPLETED
        if typed == "q":
            return ExitCode.COMPLETED
        walker.go(typed)


class _Walker:
    """Where a walk stands, and what it prints."""

    def __init__(self, session: Session, report: Report, events: Sequence[RecordedEvent]) -> None:
        self.at = 1
        self._session = session
        self._report = report
        self._events = events
        self._decisions = {
            transition.version: replace(decision, transitions=(transition,))
            for decision in report.decisions
            for transition in decision.transitions
        }

    def go(self, typed: str) -> None:
        """Do what was typed."""
        act = self._acts().get(typed)
        if act is not None:
            act()
        elif re.fullmatch("[0-9]{1,9}", typed):
            self._to(int(typed))
        else:
            self._session.screen.note(KEYS)

    def show(self) -> None:
        """Print the event that the walk stands at."""
        decision = self._decisions.get(self.at)
        for line in decision_lines(decision) if decision is not None else ["  there is no such event"]:
            self._session.screen.text(line)
        cause = self._report.first_cause
        if cause is not None and (cause.workflow, cause.version) == (self._report.workflow, self.at):
            self._session.screen.text("        > this is the first cause")
        if self._report.verdict.version == self.at:
            self._session.screen.text("        > here the record and the present code part")

    def _acts(self) -> dict[str, Callable[[], None]]:
        return {
            "": lambda: self._to(self.at + 1),
            "n": lambda: self._to(self.at + 1),
            "p": lambda: self._to(self.at - 1),
            "f": self._first_cause,
            "b": self._because,
            "s": self._state,
            "d": self._changes,
            "a": lambda: self._print(text_of(self._report, details=False)),
        }

    def _to(self, version: int) -> None:
        if not 1 <= version <= self._report.version:
            self._session.screen.note(f"the events are 1 to {self._report.version}")
            return
        self.at = version
        self.show()

    def _first_cause(self) -> None:
        cause = self._report.first_cause
        if cause is None:
            self._session.screen.note("nothing went wrong that lasted")
        elif cause.workflow == self._report.workflow:
            self._to(cause.version)
        else:
            self._session.screen.note(f"it is {place(cause, self._report.workflow)}; here it shows at {cause.seen_at}")
            self._to(cause.seen_at)

    def _because(self) -> None:
        decision = self._decisions.get(self.at)
        because = decision.transitions[0].because if decision is not None else None
        if because is None:
            self._session.screen.note("it came of nothing before it")
        else:
            self._to(because)

    def _folded(self, version: int) -> State | None:
        if not 0 <= version <= len(self._events):
            self._session.screen.note(f"only events 1 to {len(self._events)} can be folded")
            return None
        return fold(self._events[:version])

    def _state(self) -> None:
        state = self._folded(self.at)
        if state is not None:
            waits = [replace(one, commands=()) for one in pendings(state, self._session.place)]
            self._print(as_text(state, waits, self._events[: self.at]))

    def _changes(self) -> None:
        before, after = self._folded(self.at - 1), self._folded(self.at)
        if before is not None and after is not None:
            self._print(_change_lines(changes_between(before, after)))

    def _print(self, lines: Any) -> None:
        for line in lines:
            self._session.screen.text(line)


def ask_terminal(prompt: str) -> str:
    """What is typed; the prompt goes to stderr, so that what is printed can be kept. Raises EOFError."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line
