"""What author code computes while deciding: resolved inputs and predicates of the gate.

Live decisions ask `Authored`, which runs the author's code; deciding again asks `FromRecord`, which takes the answers
from the recorded events and runs none. Both give the nodes the same shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from domain import events as e
from domain.chain import canonical
from domain.definitions import Definition
from domain.errors import HandrailError, InputInvalid
from domain.payloads import check_payload
from domain.plan import REFERENCE, PlannedStep, referenced_step
from domain.policies import GatePolicy, Verdict, lookup, strictest
from domain.recorded import RecordedEvent
from domain.state import Grant, State

INPUT_BYTES: Final = 256 * 1024


class FactFailed(HandrailError):
    """Author code did not give what was asked of it; the step fails with class `invalid`."""


class GateVerdict(NamedTuple):
    """What the policy gate says about one step: the policy that decided, and its verdict."""

    policy: str
    policy_version: str
    verdict: Verdict
    reason: str
    approval: str | None


class Facts(Protocol):
    """What nodes ask for, wherever the answer comes from."""

    def input_of(self, definition: Definition, state: State, planned: PlannedStep) -> dict[str, Any]:
        """The step's resolved input; raises FactFailed."""
        ...

    def verdict_of(
        self, definition: Definition, planned: PlannedStep, step_input: Mapping[str, Any]
    ) -> GateVerdict | None:
        """The gate's verdict, or None where no policy covers the step; raises FactFailed."""
        ...


def view_of(state: State) -> dict[str, Any]:
    """What inputs may refer to."""
    return {
        "goal": state.goal,
        "input": state.input,
        "steps": {name: settled.output for name, settled in state.settled.items()},
        "approvals": {name: grant_view(grant) for name, grant in state.grants.items()},
        "workflow": {"id": state.workflow_id, "requested_by": state.requested_by},
        "tags": state.tags,
    }


def grant_view(grant: Grant) -> dict[str, Any]:
    """An approval's outcome as JSON."""
    return {
        "decision": grant.decision,
        "decided_by": list(grant.decided_by),
        "controls": list(grant.controls),
        "reason": grant.reason,
    }


_LEAVES: Final = frozenset({str, int, float, bool, type(None)})


def resolve(value: Any, state: State) -> Any:
    """Replace references by what they lead to (null where nowhere); everything else stays as planned."""
    kind = type(value)
    if kind in _LEAVES:
        return value
    if kind is dict or isinstance(value, Mapping):
        if len(value) == 1 and isinstance(value.get(REFERENCE), str):
            return _follow(value[REFERENCE], state)
        return {key: resolve(part, state) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [resolve(part, state) for part in value]
    return value


def _follow(path: str, state: State) -> Any:
    root, _, rest = path.partition(".")
    if root == "goal":
        return state.goal
    if root in {"steps", "approvals"}:
        known: Mapping[str, Any] = state.settled if root == "steps" else state.grants
        if rest in known:  # the longest name there can be
            return state.settled[rest].output if root == "steps" else grant_view(state.grants[rest])
        parts = rest.split(".")
        names = [".".join(parts[: length + 1]) for length in range(len(parts))]
        step = referenced_step(path, [name for name in names if name in known])
        if step is None or step not in known:
            return None
        document = state.settled[step].output if root == "steps" else grant_view(state.grants[step])
        below = rest[len(step) + 1 :]
        return lookup(document, below)[1] if below else document
    documents: dict[str, Any] = {
        "input": state.input,
        "workflow": {"id": state.workflow_id, "requested_by": state.requested_by},
        "tags": state.tags,
    }
    document = documents.get(root)
    return lookup(document, rest)[1] if rest else document


class Authored:
    """Facts as author code computes them now."""

    def input_of(self, definition: Definition, state: State, planned: PlannedStep) -> dict[str, Any]:
        """The step's resolved input; raises FactFailed."""
        compute = definition.inputs.get(planned.id)
        if compute is None:
            if planned.input is None:
                return state.input
            resolved = resolve(planned.input, state)
        else:
            try:
                resolved = compute(view_of(state))
            except Exception as error:
                raise FactFailed(f"input of step {planned.id!r}: {type(error).__name__}: {error}") from error
        return _checked(resolved, planned.id)

    def verdict_of(
        self, definition: Definition, planned: PlannedStep, step_input: Mapping[str, Any]
    ) -> GateVerdict | None:
        """The gate's verdict, or None where no policy covers the step; raises FactFailed."""
        covering = definition.gates_over(planned.id, planned.activity or "")
        if not covering:
            return None
        if len(covering) == 1 and covering[0].unconditional:
            return _verdict_of(covering[0])
        fitting = [gate for gate in covering if _fits(definition, gate, step_input)]
        if not fitting:
            return GateVerdict(covering[0].name, covering[0].version, "allow", "no condition is met", None)
        return _verdict_of(strictest(fitting))


def _verdict_of(gate: GatePolicy) -> GateVerdict:
    return GateVerdict(gate.name, gate.version, gate.verdict, gate.reason, gate.approval)


def _checked(resolved: Any, step: str) -> dict[str, Any]:
    if type(resolved) is not dict and not isinstance(resolved, Mapping):
        raise FactFailed(f"input of step {step!r}: must be an object, is {type(resolved).__name__}")
    plain = dict(resolved)
    try:
        check_payload(plain, "input", most_bytes=INPUT_BYTES)
    except InputInvalid:
        # The canonical form decides: it is slower to make, and takes a few things that are no plain JSON.
        _check_canonical(plain, step)
    return plain


def _check_canonical(resolved: dict[str, Any], step: str) -> None:
    try:
        size = len(canonical(resolved))
    except InputInvalid as error:
        raise FactFailed(f"input of step {step!r}: {error}") from error
    if size > INPUT_BYTES:
        raise FactFailed(f"input of step {step!r}: {size} bytes, at most {INPUT_BYTES}; pass an artifact's reference")


def _fits(definition: Definition, gate: GatePolicy, step_input: Mapping[str, Any]) -> bool:
    strict = gate.verdict != "allow"
    if not all(condition.holds(step_input, uncomparable=strict) for condition in gate.when):
        return False
    if gate.predicate is None:
        return True
    predicate = definition.predicates[gate.predicate]
    try:
        return bool(predicate.function(step_input))
    except Exception as error:
        raise FactFailed(
            f"predicate {predicate.name!r} version {predicate.version!r}: {type(error).__name__}: {error}"
        ) from error


class FromRecord:
    """Facts as one recorded decision holds them: author code is not run again."""

    def __init__(self, events: Sequence[RecordedEvent]) -> None:
        """Take the events of the decision that is decided again."""
        self._inputs: dict[str, dict[str, Any]] = {}
        self._verdicts: dict[str, GateVerdict] = {}
        self._failures: dict[str, str] = {}
        self._live = Authored()
        for recorded in events:
            event = recorded.event
            if isinstance(event, e.StepScheduled) and event.kind == "run":
                self._inputs[event.step] = event.input
            elif isinstance(event, e.ApprovalRequested) and event.origin == "gate":
                self._inputs[event.step] = event.action["input"]
            elif isinstance(event, e.PolicyEvaluated):
                self._verdicts[event.step] = GateVerdict(
                    event.policy, event.policy_version, event.verdict, event.reason, event.approval
                )
            elif isinstance(event, e.StepFailed):
                self._failures[event.step] = event.failure.message

    def input_of(self, definition: Definition, state: State, planned: PlannedStep) -> dict[str, Any]:
        """The input as recorded; an input that is plain data is resolved again, since that runs no author code."""
        if planned.id in self._inputs:
            return self._inputs[planned.id]
        if planned.id in definition.inputs:
            if planned.id in self._verdicts:
                return {}
            raise FactFailed(self._failures.get(planned.id, f"input of step {planned.id!r} is not in the record"))
        return self._live.input_of(definition, state, planned)

    def verdict_of(
        self, definition: Definition, planned: PlannedStep, step_input: Mapping[str, Any]
    ) -> GateVerdict | None:
        """The verdict as recorded; policies without a predicate are data and are evaluated again."""
        covering = definition.gates_over(planned.id, planned.activity or "")
        recorded = self._verdicts.get(planned.id)
        if recorded is not None and (planned.id in definition.inputs or any(gate.predicate for gate in covering)):
            return recorded
        if any(gate.predicate for gate in covering):
            raise FactFailed(self._failures.get(planned.id, f"verdict on {planned.id!r} is not in the record"))
        return self._live.verdict_of(definition, planned, step_input)
