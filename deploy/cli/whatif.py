"""`handrail whatif`: some lines for each workflow that would have gone another way, then how many, and how."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from deploy.cli.exits import ExitCode
from deploy.cli.given import read_document, read_past
from deploy.cli.replay_all import PROGRESS_SECONDS, must_be_known, seldom_collected
from deploy.cli.replay_text import wrapped
from deploy.cli.replaying import loaded
from deploy.cli.screen import counted
from deploy.cli.session import Session
from domain.definitions import words
from domain.store.application import WorkflowStore
from domain.store.tombstones import lacking
from projections.replaying.whatif import NOT_LOADED, Asked, WhatIf
from projections.replaying.whatif_changes import CHANGES
from projections.replaying.whatif_policies import OtherPolicies
from projections.replaying.words import plain

FORMAT: Final = "handrail.whatif.v1"
POLICY_BYTES: Final = 1_000_000
"""Most bytes of a policy file."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the file of the other policies, and of which workflows."""

    policy: str
    names: tuple[str, ...] = ()
    definition: str | None = None
    since: str | None = None


@dataclass(slots=True)
class _Sum:
    """What the answers came to so far."""

    workflows: int = 0
    events: int = 0
    changes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    unjudged: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)

    def add(self, asked: Asked) -> None:
        """One workflow more."""
        self.workflows += 1
        self.events += asked.events
        kind = asked.definition, asked.definition_version
        if asked.unjudged:
            said = asked.why if asked.unjudged == NOT_LOADED else ""
            self.unjudged[*kind, asked.unjudged, said] += 1
        elif asked.change is not None:
            self.changes[*kind, asked.change.kind] += 1


def print_answers(
    session: Session, question: Question, *, check: bool, clock: Callable[[], float] = time.monotonic
) -> ExitCode:
    """Ask, and print what comes of it. Raises InputInvalid and WorkflowUnknown."""
    begin = None if question.since is None else read_past(question.since, "--since", datetime.now(UTC))
    document = read_document(question.policy, "--policy", POLICY_BYTES)
    definitions = loaded(session)
    policies = OtherPolicies(document, definitions, question.policy)
    total = _Sum()
    told = clock()
    with session.store() as store, seldom_collected():
        asking = WhatIf(store.reading, store.mapper.read, definitions, policies)
        for asked in _answers(asking, store, question, begin):
            total.add(asked)
            _tell(session, asked)
            now = clock()
            if now - told >= PROGRESS_SECONDS:
                told = now
                session.screen.note(f"{counted(total.workflows, 'workflow')} asked")
    if question.definition is not None and not total.workflows:
        must_be_known(question.definition, definitions)
    _sum_up(session, total, asking.position)
    if check and total.changes:
        return ExitCode.ENDED
    return ExitCode.WAITING if total.unjudged else ExitCode.COMPLETED


def _answers(asking: WhatIf, store: WorkflowStore, question: Question, begin: datetime | None) -> Iterator[Asked]:
    if not question.names:
        wanted = words(question.definition) if question.definition is not None else None
        return asking.over_all(lambda name: wanted is None or words(name) == wanted, begin)
    for name in question.names:
        if not store.query("SELECT 1 FROM workflow_keys WHERE workflow_id = ?", (name,)):
            raise lacking(store.query, name)
    return asking.over(question.names)


def _tell(session: Session, asked: Asked) -> None:
    """What is to be said of one workflow: nothing, where it would have gone the same way."""
    change = asked.change
    head = {
        "workflow": asked.workflow,
        "definition": asked.definition,
        "definition_version": asked.definition_version,
    }
    if session.screen.as_json:
        if asked.unjudged:
            session.screen.value({"kind": "not_judged", **head, "cause": asked.unjudged, "why": asked.why})
        elif change is not None:
            session.screen.value(
                {
                    "kind": "differs",
                    **head,
                    "version": change.version,
                    "at": change.at,
                    "step": change.step,
                    "change": change.kind,
                    "words": change.words,
                    "recorded": change.recorded,
                    "decided": change.decided,
                }
            )
        return
    if change is not None:
        place = f"event {change.version}" if change.version <= asked.events else f"after event {asked.events}"
        session.screen.text(f"{asked.workflow}  {place}  {change.at}  {change.step}")
        lines: tuple[str, ...] = (
            change.words,
            f"recorded: {plain(change.recorded)}; would be: {plain(change.decided)}",
        )
    elif asked.unjudged not in {"", NOT_LOADED}:
        session.screen.text(f"{asked.workflow}  not judged")
        lines = (plain(asked.why),)
    else:
        return
    for text in lines:
        for line in wrapped("", text, width=0, indent=4):
            session.screen.text(line)


def _sum_up(session: Session, total: _Sum, position: int) -> None:
    changed, unjudged = sum(total.changes.values()), sum(total.unjudged.values())
    if session.screen.as_json:
        session.screen.value(
            {
                "kind": "summary",
                "format": FORMAT,
                "position": position,
                "workflows": total.workflows,
                "events": total.events,
                "differ": changed,
                "not_judged": unjudged,
                "changes": [
                    {"definition": name, "version": version, "change": kind, "workflows": number}
                    for (name, version, kind), number in sorted(total.changes.items())
                ],
                "causes": [
                    {"definition": name, "version": version, "cause": cause, "workflows": number}
                    for (name, version, cause, _), number in sorted(total.unjudged.items())
                ],
            }
        )
        return
    all_asked = counted(total.workflows, "workflow")
    session.screen.text(f"{changed:,} of {all_asked} would have gone another way, up to log position {position}")
    for (name, version, kind), number in sorted(total.changes.items()):
        session.screen.text(f"  {number:>7,}  {name} {version}: {CHANGES[kind]}")
    if unjudged:
        session.screen.text(f"of {unjudged:,} nothing can be said:")
    for (name, version, cause, why), number in sorted(total.unjudged.items()):
        hint = f"{why}: name its module with --module" if cause == NOT_LOADED else cause.replace("_", " ")
        session.screen.text(f"  {number:>7,}  {name} {version}: {plain(hint)}")
