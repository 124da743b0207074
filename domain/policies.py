"""Policies are data with recorded versions: retry, gate and approval. Author code enters only as a named predicate."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.durations import LONGEST

ANYONE: Final = "*"
MOST_ATTEMPTS: Final = 1_000


class Policy(BaseModel):
    """What all policies share: frozen data, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RetryPolicy(Policy):
    """How often and when a step is tried again.

    `max_attempts` counts attempts of one generation, the first included. The delay before attempt n+1 is
    `initial_delay × multiplier^(n-1)`, at most `maximum_delay`; `deadline` bounds the time from the first attempt's
    schedule to the last attempt's start.
    """

    max_attempts: int = Field(default=3, ge=1, le=MOST_ATTEMPTS)
    initial_delay: timedelta = Field(default=timedelta(seconds=1), ge=timedelta(0), le=LONGEST)
    maximum_delay: timedelta = Field(default=timedelta(seconds=60), ge=timedelta(0), le=LONGEST)
    multiplier: float = Field(default=2.0, ge=1.0, le=100.0)
    deadline: timedelta | None = Field(default=None, gt=timedelta(0), le=LONGEST)


class ApprovalPolicy(Policy):
    """Who may decide, how many must agree, and what happens when nobody does.

    `approvers` are names, `*` for anyone; `required` grants make it granted and `rejections` rejections rejected;
    `four_eyes` bars the requester and whoever intervened on the step or its inputs. `deadline` and `escalate_after`
    run from the request; after the escalation `escalate_to` may decide as well. `on_expiry` is what the deadline does.
    `proposed_controls` are the conditions of a grant that names none itself.
    """

    name: str = Field(default="default", min_length=1, max_length=64)
    version: str = Field(default="1", min_length=1, max_length=64)
    approvers: tuple[str, ...] = Field(default=(ANYONE,), min_length=1, max_length=1_000)
    required: int = Field(default=1, ge=1, le=100)
    rejections: int = Field(default=1, ge=1, le=100)
    four_eyes: bool = False
    deadline: timedelta | None = Field(default=None, gt=timedelta(0), le=LONGEST)
    escalate_after: timedelta | None = Field(default=None, gt=timedelta(0), le=LONGEST)
    escalate_to: tuple[str, ...] = Field(default=(), max_length=1_000)
    on_expiry: Literal["reject", "intervene", "grant"] = "reject"
    proposed_controls: tuple[str, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _can_be_met(self) -> ApprovalPolicy:
        people = set(self.approvers) | set(self.escalate_to)
        if ANYONE not in people and len(people) < self.required:
            message = f"approval policy {self.name!r} asks for {self.required} grants but names {len(people)} people"
            raise ValueError(message)
        if self.escalate_after is not None and not self.escalate_to:
            message = (
                f"approval policy {self.name!r} escalates after {self.escalate_after} but to nobody: give escalate_to"
            )
            raise ValueError(message)
        if self.escalate_after is not None and self.deadline is not None and self.escalate_after >= self.deadline:
            message = f"approval policy {self.name!r} escalates after its deadline: make escalate_after the shorter one"
            raise ValueError(message)
        return self


Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in", "exists"]

_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda left, right: left in right,
    "not in": lambda left, right: left not in right,
}


class Condition(Policy):
    """One comparison on the step's resolved input: `path` is dotted, a missing path makes it false (`exists` asks).

    A value that is there and cannot be compared makes it hold where holding makes the verdict stricter: a gate that
    cannot be asked does not stand open.
    """

    path: str = Field(min_length=1, max_length=200)
    op: Operator = "=="
    value: Any = None

    def holds(self, data: Mapping[str, Any], *, uncomparable: bool = False) -> bool:
        """Whether the condition holds; `uncomparable` is the answer for a value that cannot be compared."""
        found, value = lookup(data, self.path)
        if self.op == "exists":
            return found is not (self.value is False)
        if not found:
            return False
        try:
            return bool(_COMPARISONS[self.op](value, self.value))
        except TypeError:
            return uncomparable


Verdict = Literal["allow", "deny", "require_approval"]


class GatePolicy(Policy):
    """A rule of the policy gate: for the steps it names, the verdict where all conditions hold.

    `steps` are step ids or activity names, `*` for all. `predicate` names author code registered with the definition.
    Of the policies that fit, the strictest verdict counts: deny, then require_approval, then allow.
    """

    name: str = Field(min_length=1, max_length=64)
    version: str = Field(default="1", min_length=1, max_length=64)
    steps: tuple[str, ...] = (ANYONE,)
    when: tuple[Condition, ...] = ()
    predicate: str | None = None
    verdict: Verdict = "allow"
    reason: str = Field(default="", max_length=500)
    approval: str | None = None

    @property
    def unconditional(self) -> bool:
        """Whether its verdict holds whatever the step's input is."""
        return not self.when and self.predicate is None

    def covers(self, step: str, activity: str) -> bool:
        """Whether the policy speaks about this step."""
        return ANYONE in self.steps or step in self.steps or activity in self.steps


@dataclass(frozen=True)
class Predicate:
    """Author code in a policy: named and versioned, given the step's resolved input; its answer is recorded."""

    name: str
    version: str
    function: Callable[[Mapping[str, Any]], bool]


_STRICTNESS: Final[dict[str, int]] = {"allow": 0, "require_approval": 1, "deny": 2}


def strictest(fitting: Sequence[GatePolicy]) -> GatePolicy:
    """Of the policies that fit, the one that counts; the first of equals. There must be one."""
    if len(fitting) == 1:
        return fitting[0]
    return max(fitting, key=lambda gate: _STRICTNESS[gate.verdict])


def lookup(data: object, path: str) -> tuple[bool, Any]:
    """Follow a dotted path through objects and lists; (False, None) where it leads nowhere."""
    value: Any = data
    for part in path.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list | tuple) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return False, None
    return True, value
