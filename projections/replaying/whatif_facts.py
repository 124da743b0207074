"""What the gate would say of a recorded step under other policies: its conditions and predicates on the recorded input.

Where the policies over a step are those at hand, what is recorded stands, and no author code is asked. Else conditions
are data, and predicates are the author's functions as they are loaded: if one does not say of the same input what is
recorded, nothing that it says can be believed. What an answer would need and the record lacks is `Unjudged`, with why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.chain import is_sealed
from domain.definitions import Definition
from domain.facts import Authored, FactFailed, FromRecord, GateVerdict
from domain.plan import PlannedStep
from domain.policies import GatePolicy
from domain.recorded import RecordedEvent
from domain.state import State


class Unjudged(Exception):
    """Which way it would have gone cannot be said; the message says why."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where the gate sends a step: `open`, `asks` (by an approval policy), `denies`, or `fails`: it cannot be asked."""

    kind: str
    approval: str = ""
    gate: str = ""


@dataclass(frozen=True, slots=True)
class Turned:
    """A step that the gate would send another way than it did."""

    recorded: Way
    decided: Way


_AUTHORED: Final = Authored()

NoteTurned = Callable[[str, Turned], None]
"""Hears of a step that the gate would send another way."""


class OtherFacts(FromRecord):
    """The facts of a recorded decision, with the verdicts of the gate as they would be."""

    def __init__(self, events: Sequence[RecordedEvent], base: Definition | None, turned: NoteTurned) -> None:
        """`base` is the definition as it is at hand."""
        super().__init__(events)
        self._base = base
        self._turned = turned
        self._unknown: set[str] = set()

    def input_of(self, definition: Definition, state: State, planned: PlannedStep) -> dict[str, Any]:
        """The input as recorded."""
        if planned.id in definition.inputs and planned.id not in self._inputs:
            self._unknown.add(planned.id)
        return super().input_of(definition, state, planned)

    def verdict_of(
        self, definition: Definition, planned: PlannedStep, step_input: Mapping[str, Any]
    ) -> GateVerdict | None:
        """The verdict under the other policies; the one recorded where it sends the step the same way."""
        covering = definition.gates_over(planned.id, planned.activity or "")
        base = self._base or definition
        if list(covering) == list(base.gates_over(planned.id, planned.activity or "")):
            return self._as_recorded(base, planned, step_input)
        recorded, recorded_way = self._outcome(lambda: self._as_recorded(base, planned, step_input), base, planned)
        self._check_known(planned, covering, step_input)
        decided, decided_way = self._outcome(
            lambda: _AUTHORED.verdict_of(definition, planned, step_input), definition, planned
        )
        if (recorded_way.kind, recorded_way.approval) == (decided_way.kind, decided_way.approval):
            return _given(recorded)
        self._turned(planned.id, Turned(recorded_way, decided_way))
        return _given(decided)

    def _as_recorded(self, base: Definition, planned: PlannedStep, step_input: Mapping[str, Any]) -> GateVerdict | None:
        return super().verdict_of(base, planned, step_input)

    def _outcome(
        self, ask: Callable[[], GateVerdict | None], definition: Definition, planned: PlannedStep
    ) -> tuple[GateVerdict | FactFailed | None, Way]:
        try:
            verdict = ask()
        except FactFailed as error:
            return error, Way("fails")
        gate = verdict.policy if verdict is not None else ""
        if verdict is not None and verdict.verdict == "deny":
            return verdict, Way("denies", gate=gate)
        if verdict is not None and verdict.verdict == "require_approval":
            return verdict, Way("asks", verdict.approval or definition.default_approval.name, gate)
        return verdict, Way("asks", planned.approval, gate) if planned.approval is not None else Way("open", gate=gate)

    def _check_known(self, planned: PlannedStep, covering: Sequence[GatePolicy], step_input: Mapping[str, Any]) -> None:
        """Raise Unjudged where the policies ask for what the record lacks."""
        asking = [gate for gate in covering if not gate.unconditional]
        if asking and planned.id in self._unknown:
            raise Unjudged(
                f"gate {asking[0].name!r} asks for the input of step {planned.id!r}, which the definition computes "
                "and the record lacks, since the step did not get past the gate"
            )
        for gate in asking:
            paths = [condition.path for condition in gate.when] or ([""] if gate.predicate is not None else [])
            if any(_is_cut_out(step_input, path) for path in paths):
                raise Unjudged(
                    f"gate {gate.name!r} asks for a part of the input of step {planned.id!r} that was cut out"
                )
        self._check_predicates(planned, covering, step_input)

    def _check_predicates(
        self, planned: PlannedStep, covering: Sequence[GatePolicy], step_input: Mapping[str, Any]
    ) -> None:
        """Raise Unjudged where the predicates at hand do not say what they said: then they are other ones."""
        base = self._base
        if base is None or planned.id in self._unknown or not any(gate.predicate for gate in covering):
            return
        before = base.gates_over(planned.id, planned.activity or "")
        if not any(gate.predicate for gate in before):
            return
        _, recorded = self._outcome(lambda: self._as_recorded(base, planned, step_input), base, planned)
        _, now = self._outcome(lambda: _AUTHORED.verdict_of(base, planned, step_input), base, planned)
        if recorded != now:
            names = ", ".join(sorted({gate.predicate for gate in before if gate.predicate is not None}))
            raise Unjudged(
                f"predicate {names} says something else of the input of step {planned.id!r} than is recorded: load the "
                "module as it was"
            )


def _given(outcome: GateVerdict | FactFailed | None) -> GateVerdict | None:
    if isinstance(outcome, FactFailed):
        raise outcome
    return outcome


def _is_cut_out(value: Any, path: str) -> bool:
    """Whether a value on the way of a dotted path was cut out of the record; without a path, any value at all."""
    if is_sealed(value):
        return True
    if not path:
        inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
        return any(_is_cut_out(one, "") for one in inner)
    part, _, rest = path.partition(".")
    if isinstance(value, Mapping) and part in value:
        following = value[part]
    elif isinstance(value, list | tuple) and part.isdigit() and int(part) < len(value):
        following = value[int(part)]
    else:
        return False
    return _is_cut_out(following, rest)
