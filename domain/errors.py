"""The whole exception tree.

Three families: what an activity may raise to say how it ended (`ActivityError` and the two answers), what a caller
did wrong (`Refused` and its kin: exit code 2), and what is wrong with the record or the place (`StoreError`: exit
code 4). Every message is one line that names the thing and the way out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final


class HandrailError(Exception):
    """Something went wrong; the message says what, and what to do."""


LONGEST_PATIENCE_SECONDS: Final = 366 * 24 * 3600.0
"""How long an activity may ask to be left alone: beyond that, the arithmetic of dates is not worth its traps."""


# --- what an activity may raise -------------------------------------------------------------------------------------


class ActivityError(HandrailError):
    """An activity ended without its output; the subclass says what that means for the next attempt."""


class Transient(ActivityError):
    """The attempt failed for a reason that passes: try again with backoff."""


class RateLimited(ActivityError):
    """The other side asked for patience: try again, no earlier than `retry_after_seconds` from now."""

    def __init__(self, message: str = "rate limited", *, retry_after_seconds: float = 0.0) -> None:
        """Keep how long the other side asked to be left alone, in seconds: a year at most."""
        super().__init__(message)
        self.retry_after_seconds = min(max(0.0, float(retry_after_seconds)), LONGEST_PATIENCE_SECONDS)


class Permanent(ActivityError):
    """The attempt failed for a reason that stays: trying again is useless."""


class NotApplied(ActivityError):
    """Proof that the effect did not happen; the only thing that lets a `once` activity run again."""


class ActivityAnswer(HandrailError):
    """An answer other than an output; it may be returned or raised."""


class NeedsApproval(ActivityAnswer):
    """A person must decide; a grant makes the step `ok` without running it again.

    `reason` is what the operator reads behind `blocked(`; `evidence` is what the approver decides on; `controls` are
    the conditions proposed with a grant; `policy` names the definition's approval policy; `output` is the step's
    output once granted (the evidence where it is left out).
    """

    def __init__(
        self,
        reason: str,
        evidence: Mapping[str, Any] | None = None,
        *,
        controls: Sequence[str] = (),
        policy: str | None = None,
        output: Any = None,
    ) -> None:
        """Keep the answer's parts as given."""
        super().__init__(reason)
        self.reason = reason
        self.evidence: dict[str, Any] = dict(evidence or {})
        self.controls = tuple(controls)
        self.policy = policy
        self.output = output


class Denied(ActivityAnswer):
    """A rule said no: the step is failed with class `rejected`, and nothing is tried again."""

    def __init__(self, reason: str) -> None:
        """Keep the reason as given."""
        super().__init__(reason)
        self.reason = reason


# --- what a caller did wrong (exit code 2) --------------------------------------------------------------------------


class Refused(HandrailError):
    """The request does not fit: nothing was changed."""


class DefinitionInvalid(Refused):
    """A workflow definition cannot be used as it is written."""


class DefinitionUnknown(Refused):
    """No definition fits the goal or the name."""


class DefinitionMissing(Refused):
    """The version of the definition that the workflow started on is not loaded here."""

    def __init__(self, message: str, *, definition: str, version: str) -> None:
        """Keep which definition it is."""
        super().__init__(message)
        self.definition = definition
        self.version = version


def not_loaded(definition: str, version: str) -> DefinitionMissing:
    """What to say where a person's act needs a definition that is not loaded."""
    words = f"definition {definition!r} version {version!r} is not loaded here; name its module with --module"
    return DefinitionMissing(words, definition=definition, version=version)


class PlanInvalid(Refused):
    """A proposed plan breaks a rule of plans."""


class WorkflowUnknown(Refused):
    """There is no workflow with this id."""


class WorkflowArchived(WorkflowUnknown):
    """The workflow with this id was archived: it is over, its events are in a file, and nobody gets its id again."""


class WorkflowConflict(Refused):
    """A workflow with this id exists with another goal or input."""


class InputInvalid(Refused):
    """The input does not fit what is asked for."""


class ImportedReadOnly(Refused):
    """The store holds what was imported: it is looked at, and never changed."""


class HomeBusy(Refused):
    """Another process holds this home and the request needs it for itself."""


# --- what is wrong with the record or the place (exit code 4) -------------------------------------------------------


class StoreError(HandrailError):
    """The store cannot do what was asked."""


class StoreNewer(StoreError):
    """The store was written by a newer version of Handrail."""


class StoreUnavailable(StoreError):
    """The store cannot be opened, read or written."""


class StoreAway(StoreUnavailable):
    """The store is not there for now: stopped, starting, switched over, out of connections; waiting for it helps."""


class EventUnknown(StoreError):
    """A stored event has a name or version that this version of Handrail does not know."""


class EventCorrupt(StoreError):
    """A stored event cannot be decoded, or does not fit the chain of digests."""


class PayloadWithheld(StoreError):
    """A stored event's payload is not there any more, on purpose; its header and its digests are, and they fit."""

    def __init__(
        self, message: str, *, workflow_id: str = "", version: int = 0, left: Mapping[str, Any] | None = None
    ) -> None:
        """Keep which event it is, and what is left of its workflow beside headers and digests."""
        super().__init__(message)
        self.workflow_id = workflow_id
        self.version = version
        self.left: Mapping[str, Any] = left or {}


class FenceMissed(StoreError):
    """A statement that must change exactly its rows changed others: somebody else was first."""

    def __init__(self, message: str, *, message_ids: Sequence[str] = ()) -> None:
        """Keep the message ids whose rows were not in the state expected."""
        super().__init__(message)
        self.message_ids = tuple(message_ids)


class VersionConflict(StoreError):
    """Another process decided for the same workflow first."""


class DecisionFault(HandrailError):
    """A node broke a rule of the engine: a bug in Handrail; nothing was recorded."""


# --- the broker ------------------------------------------------------------------------------------------------------


class BrokerError(HandrailError):
    """The broker cannot do what was asked."""


class BrokerUnavailable(BrokerError):
    """The broker cannot be reached, or has gone; what it has confirmed it still has."""


class BrokerUnfit(BrokerError):
    """The broker lacks a queue, an exchange or a right, or has one that is not as it must be."""


class NotAccepted(BrokerError):
    """The broker has a message, and the store shows nothing of it within the time given: it may still come."""


class MessageUnfit(Refused):
    """A message cannot be accepted, whoever tries: unreadable, too large, of an unknown type, from the wrong sender."""

    def __init__(self, message: str, *, fault: str) -> None:
        """Keep the fault's short name, by which dead letters are grouped."""
        super().__init__(message)
        self.fault = fault
