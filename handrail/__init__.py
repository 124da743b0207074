"""Handrail: a durable workflow runtime for agents. The names that an author of workflows imports.

from handrail import Definition, Step, activity
"""

from typing import TYPE_CHECKING, Any

from deploy.runtime import Runtime
from domain.context import Context
from domain.definitions import (
    ActivityType,
    ArtifactRef,
    CompensationInput,
    Definition,
    Finalization,
    ProbeInput,
    Redactable,
    Step,
    activity,
)
from domain.errors import (
    Denied,
    HandrailError,
    NeedsApproval,
    NotApplied,
    Permanent,
    RateLimited,
    Refused,
    StoreUnavailable,
    Transient,
)
from domain.limits import Breaker, Limits, Rate
from domain.plan import (
    ChildSpec,
    Observation,
    PlannedStep,
    PlanProposal,
    PlanRequest,
    SignalWait,
    TimeWait,
    ref,
)
from domain.policies import ApprovalPolicy, Condition, GatePolicy, Predicate, RetryPolicy
from domain.secret import Secret
from domain.state import State, Status, StepStatus

if TYPE_CHECKING:
    from deploy.client import Client, Submitted, WorkflowResult

__all__ = [
    "ActivityType",
    "ApprovalPolicy",
    "ArtifactRef",
    "Breaker",
    "ChildSpec",
    "Client",
    "CompensationInput",
    "Condition",
    "Context",
    "Definition",
    "Denied",
    "Finalization",
    "GatePolicy",
    "HandrailError",
    "Limits",
    "NeedsApproval",
    "NotApplied",
    "Observation",
    "Permanent",
    "PlanProposal",
    "PlanRequest",
    "PlannedStep",
    "Predicate",
    "ProbeInput",
    "Rate",
    "RateLimited",
    "Redactable",
    "Refused",
    "RetryPolicy",
    "Runtime",
    "Secret",
    "SignalWait",
    "State",
    "Status",
    "Step",
    "StepStatus",
    "StoreUnavailable",
    "Submitted",
    "TimeWait",
    "Transient",
    "WorkflowResult",
    "activity",
    "ref",
]


def __getattr__(name: str) -> Any:
    """The client's names, when somebody asks for them: authors of workflows need not load a broker's library."""
    if name not in {"Client", "Submitted", "WorkflowResult"}:
        raise AttributeError(f"module 'handrail' has no attribute {name!r}")
    from deploy import client  # noqa: PLC0415 - see above

    return getattr(client, name)
