"""The step command: body and headers, the same whatever carries it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from domain.events import StepScheduled
from domain.messages.names import ATTEMPT, CAUSATION_ID, DEADLINE, SCHEDULED_AT, SEQUENCE, STEP_RUN, TRACEPARENT
from domain.ports import Command
from domain.transport import HeaderValue


class StepCommand(BaseModel):
    """Body of a step command. Unknown fields are ignored, so that an older consumer understands a newer relay."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    wire_type: ClassVar[str] = STEP_RUN

    message_id: str
    workflow_id: str
    step: str
    kind: str
    attempt: int
    generation: int = 1
    activity: str
    queue: str
    input: dict[str, Any]
    definition: str
    definition_version: str
    idempotency_key: str
    expires_at: datetime
    requested_by: str = ""

    @classmethod
    def of(cls, command: Command) -> StepCommand:
        """The body that carries a command."""
        return cls(**{name: getattr(command, name) for name in cls.model_fields})

    def command(self) -> Command:
        """The command that a body carries."""
        return Command(**{name: getattr(self, name) for name in type(self).model_fields})


class Headers(BaseModel):
    """Headers of the messages that Handrail sends; those left out do not apply."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    causation_id: str = Field(default="", alias=CAUSATION_ID)
    attempt: int | None = Field(default=None, alias=ATTEMPT)
    deadline: datetime | None = Field(default=None, alias=DEADLINE)
    scheduled_at: datetime | None = Field(default=None, alias=SCHEDULED_AT)
    sequence: int | None = Field(default=None, alias=SEQUENCE)
    traceparent: str | None = Field(default=None, alias=TRACEPARENT)

    def wire(self) -> dict[str, HeaderValue]:
        """As they travel."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


class Origin(Protocol):
    """What a command takes over from its workflow; its state has it, and so has whoever remembers its first event."""

    @property
    def definition(self) -> str:
        """Name of the definition."""
        ...

    @property
    def definition_version(self) -> str:
        """Version of the definition."""
        ...

    @property
    def requested_by(self) -> str:
        """Who asked for the workflow."""
        ...


def command_of(
    scheduled: StepScheduled,
    workflow_id: str,
    origin: Origin,
    *,
    claimed: bool = False,
    scheduled_at: datetime | None = None,
) -> Command:
    """The command that a scheduled attempt asks for; `scheduled_at` is the event's instant."""
    return Command(
        scheduled.message_id,
        workflow_id,
        scheduled.step,
        scheduled.kind,
        scheduled.attempt,
        scheduled.generation,
        scheduled.activity,
        scheduled.queue,
        scheduled.input,
        origin.definition,
        origin.definition_version,
        scheduled.key,
        scheduled.expires_at,
        origin.requested_by,
        claimed,
        scheduled_at,
    )


def scheduled_at_of(headers: Mapping[str, object]) -> datetime | None:
    """When a delivered command was scheduled; None where its headers do not say, or not in a way that can be read.

    It travels beside the body because it is no part of what is asked for: nothing is decided by it, and the digest of a
    command does not cover it.
    """
    said = headers.get(SCHEDULED_AT)
    if not isinstance(said, str):
        return None
    try:
        instant = datetime.fromisoformat(said)
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else None
