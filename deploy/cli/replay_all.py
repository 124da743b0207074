"""`handrail replay --all`: every stored history against the code at hand. A line for each that differs, then a sum."""

from __future__ import annotations

import contextlib
import difflib
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from deploy.cli.exits import ExitCode
from deploy.cli.given import read_past
from deploy.cli.replay_jobs import Check, checked_by, jobs_for
from deploy.cli.replay_text import shown, wrapped
from deploy.cli.replaying import loaded
from deploy.cli.screen import counted
from deploy.cli.session import Session
from deploy.loading import LoadedDefinitions
from domain.definitions import words
from domain.errors import InputInvalid
from domain.store.tombstones import how_many
from projections.replaying.checking import DAMAGED, Checked, CheckingAll
from projections.replaying.sentences import code_words
from projections.replaying.verdict import Word
from projections.replaying.words import plain

PROGRESS_SECONDS: Final = 5.0
FORMAT: Final = "handrail.replay-all.v1"


@dataclass(slots=True)
class _Sum:
    """What the check came to so far."""

    workflows: int = 0
    events: int = 0
    archived: int = 0
    """Beside those that were checked: their events are in files."""
    by_word: Counter[str] = field(default_factory=Counter)
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, checked: Checked) -> None:
        """One workflow more."""
        self.workflows += 1
        self.events += checked.events
        self.by_word[checked.word] += 1
        if checked.word == Word.DEFINITION_MISSING.value:
            self.missing[checked.definition, checked.definition_version] += 1

    @property
    def withheld(self) -> int:
        """Of how many it is not known, since payloads are withheld, or values cut out."""
        return self.by_word[Word.WITHHELD.value]

    @property
    def differing(self) -> int:
        """How many are not as the code at hand decides them."""
        return sum(self.by_word[word] for word in (DAMAGED, Word.DIFFERS.value, Word.UNDECIDABLE.value))


def print_check(
    session: Session,
    *,
    definition: str | None,
    since: str | None,
    jobs: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> ExitCode:
    """Check every history, those of a definition and those that moved since then where that is asked for.

    In so many processes; None: in as many as it is worth. Raises InputInvalid where there is no such definition.
    """
    begin = None if since is None else read_past(since, "--since", datetime.now(UTC))
    definitions = loaded(session)
    total, began = _Sum(), clock()
    told = began
    with session.store() as store, seldom_collected():
        checking = CheckingAll(store.reading, store.mapper.read, definitions)
        check = Check(session.home_option, tuple(session.modules), definition, begin, checking.position)
        for checked in checked_by(jobs_for(jobs, checking.position), check, checking):
            total.add(checked)
            if checked.differs:
                _tell(session, checked)
            now = clock()
            if now - told >= PROGRESS_SECONDS:
                told = now
                session.screen.note(
                    f"{_counts(total)} decided again; {total.events / (now - began):,.0f} events a second"
                )
        total.archived = how_many(store.query, definition)
        if definition is not None and not total.workflows and not total.archived:
            must_be_known(definition, definitions)
        # What was erased here is known to be so, and stays so: no check would ever pass again.
        unknown = total.missing or (total.withheld if store.imported is not None else 0)
    _sum_up(session, total, checking.position)
    if total.differing:
        return ExitCode.ENDED
    return ExitCode.WAITING if unknown else ExitCode.COMPLETED


@contextlib.contextmanager
def seldom_collected() -> Iterator[None]:
    """Have circles of objects looked for seldom: there are hardly any, and looking takes a tenth of the time."""
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def must_be_known(name: str, definitions: LoadedDefinitions) -> None:
    """Refuse the name of a definition that nothing was found of, unless it is loaded: a slip would pass for all well.

    Raises InputInvalid.
    """
    there = list(dict.fromkeys(one.name for one in definitions))
    if words(name) in map(words, there):
        return
    alike = difflib.get_close_matches(name, there, n=1)
    meant = f"; is {alike[0]!r} meant?" if alike else ""
    raise InputInvalid(f"--definition {name!r}: none is loaded, and no workflow asked for has it{meant}")


def _counts(total: _Sum) -> str:
    return f"{counted(total.workflows, 'workflow')} with {counted(total.events, 'event')}"


def _tell(session: Session, checked: Checked) -> None:
    """A line, or two, about a history that differs."""
    verdict = checked.verdict
    if session.screen.as_json:
        document: dict[str, Any] = {"kind": "differs", **asdict(checked)}
        session.screen.value(document)
        return
    what = checked.words if checked.word == DAMAGED or verdict is None else code_words(verdict)
    session.screen.text(f"{checked.workflow}  event {checked.version}")
    for line in wrapped("", f"{checked.definition} {checked.definition_version}: {plain(what)}", width=0, indent=4):
        session.screen.text(line)
    for one in verdict.differences[:3] if verdict is not None and checked.word != DAMAGED else ():
        words_of_it = f"{one.path}: recorded {shown(one.recorded, 60)}, decided {shown(one.decided, 60)}"
        for line in wrapped("", words_of_it, width=0, indent=4):
            session.screen.text(line)


def _sum_up(session: Session, total: _Sum, position: int) -> None:
    agree, other = total.by_word[Word.AGREES.value], total.by_word[Word.OTHER_ENGINE.value]
    missing = [
        {"definition": name, "version": version, "workflows": number}
        for (name, version), number in sorted(total.missing.items())
    ]
    if session.screen.as_json:
        session.screen.value(
            {
                "kind": "summary",
                "format": FORMAT,
                "position": position,
                "workflows": total.workflows,
                "events": total.events,
                "agree": agree,
                "differ": total.differing,
                "other_engine": other,
                "archived": total.archived,
                "withheld": total.withheld,
                "definition_missing": missing,
            }
        )
        return
    parts = [f"{agree:,} as recorded", f"{total.differing:,} differ"]
    if other:
        parts.append(f"{other:,} decided by another engine")
    if total.withheld:
        parts.append(f"{total.withheld:,} not known, since payloads or values are withheld")
    if missing:
        parts.append(f"{sum(total.missing.values()):,} not asked")
    if total.archived:
        parts.append(f"{total.archived:,} archived")
    session.screen.text(f"{_counts(total)}, up to log position {position}: {', '.join(parts)}")
    for one in missing:
        session.screen.text(
            f"  {one['definition']} version {one['version']} is not loaded ({one['workflows']}): name its module "
            "with --module"
        )
