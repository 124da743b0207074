"""The figures of a run: as a table to read, and as JSON to keep."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.chaos.checks import Verdict
from tests.chaos.faults import Blow
from tests.chaos.plan import Kind

PROBLEMS_SHOWN = 40


@dataclass
class Report:
    """All that is to be said of a run."""

    seed: int
    workflows: int
    hits_needed: int
    verdict: Verdict = field(default_factory=Verdict)
    blows: list[Blow] = field(default_factory=list)
    doubled: Mapping[str, int] = field(default_factory=dict)
    messages_lost: Mapping[str, int] = field(default_factory=dict)
    events_seen: Mapping[str, int] = field(default_factory=dict)
    """How often each kind of event is in the log."""
    processes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Lives and kills of each process."""
    fell: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    """Dead letters that nobody meant."""
    bad_sent: int = 0
    bad_dead: int = 0
    """Messages that were meant for the dead, and those that got there."""
    load_seconds: float = 0.0
    """From the first goal until the last fault."""
    quiet_seconds: float = 0.0
    """From the last fault until everything had ended."""
    interrupted: str = ""

    @property
    def problems(self) -> list[str]:
        """All that is wrong."""
        return [*self._problems()]

    def _problems(self) -> Iterator[str]:
        if self.interrupted:
            yield self.interrupted
        hits = self.hits
        for kind in Kind:
            if hits[kind] < self.hits_needed:
                yield f"{kind}: only {hits[kind]} hit something in flight, of {self.hits_needed} needed"
        for what in ("goal", "approval", "command"):
            times = self.doubled.get(what, 0)
            if times < self.hits_needed:
                yield f"only {times} messages of one kind ({what}) were sent twice, of {self.hits_needed} needed"
        if self.verdict.completions < self.workflows:
            yield f"only {self.verdict.completions} of {self.workflows} workflows ended as they must"
        yield from self.verdict.problems
        yield from (f"dead letter: {one}" for one in self.dead)
        if self.bad_dead < self.bad_sent:
            yield f"only {self.bad_dead} of {self.bad_sent} bad messages got to the dead"
        yield from self.fell

    @property
    def hits(self) -> Counter[Kind]:
        """How many faults of each kind hit something in flight."""
        return Counter(blow.kind for blow in self.blows if blow.hit)

    def text(self) -> str:
        """The table."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        verdict, hits, struck = self.verdict, self.hits, Counter(blow.kind for blow in self.blows)
        rate = verdict.completions / self.load_seconds if self.load_seconds else 0.0
        yield f"seed {self.seed}: {self.workflows} workflows, {self.load_seconds:.0f} s of faults, "
        yield f"{self.quiet_seconds:.1f} s of quiet until the last had ended; {rate:.1f} workflows/s under faults"
        yield ""
        yield f"{'fault':44} {'times':>6} {'in flight':>10}"
        for kind in Kind:
            yield f"{kind:44} {struck[kind]:6} {hits[kind]:10}"
        for what, times in sorted(self.doubled.items()):
            yield f"{f'{what} sent once more':44} {times:6}"
        yield f"{'messages lost with their queues':44} {sum(self.messages_lost.values()):6}"
        yield ""
        rows = {
            "ended as they must": verdict.completions,
            "lost": verdict.lost,
            "stuck": verdict.stuck,
            "effects repeated": verdict.repeated,
            "histories decided again": verdict.replayed,
            "events": verdict.events,
            "calls to the outside": sum(verdict.calls.values()),
            "calls turned away, from attempts given up": verdict.turned_away,
            "attempts lapsed": self.events_seen.get("AttemptLapsed", 0),
            "outcomes unknown": self.events_seen.get("OutcomeUnknown", 0),
            "late outcomes": self.events_seen.get("LateOutcomeRecorded", 0),
            "dead letters that were meant": self.bad_dead,
            "dead letters that were not": len(self.dead),
        }
        for name, number in rows.items():
            yield f"{name:44} {number:6}"
        for name, (lives, kills) in self.processes.items():
            yield f"{name:44} {lives:6} lives, {kills} kills"
        problems = self.problems
        yield ""
        yield f"{len(problems)} problems" if problems else "nothing is wrong"
        yield from problems[:PROBLEMS_SHOWN]

    def as_json(self) -> str:
        """Everything, for a file."""
        given: dict[str, Any] = asdict(self)
        given["hits"] = {str(kind): times for kind, times in self.hits.items()}
        given["problems"] = self.problems
        return json.dumps(given, indent=1, default=str)
