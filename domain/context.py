"""What an activity is told about its attempt, and what it may ask for while it runs."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from domain.definitions import ArtifactRef
from domain.secret import Secret


class Logger(Protocol):
    """The part of a logger that an activity uses; values of opened secrets are cut out of what it logs."""

    def debug(self, message: object, /, *arguments: object, **named: Any) -> None:
        """Log what only a search for a fault needs."""
        ...

    def info(self, message: object, /, *arguments: object, **named: Any) -> None:
        """Log what happens."""
        ...

    def warning(self, message: object, /, *arguments: object, **named: Any) -> None:
        """Log what should not happen, and did no harm yet."""
        ...

    def error(self, message: object, /, *arguments: object, **named: Any) -> None:
        """Log what went wrong."""
        ...

    def exception(self, message: object, /, *arguments: object, **named: Any) -> None:
        """Log what went wrong, with the exception at hand."""
        ...


class Context(Protocol):
    """One attempt, as its activity sees it: `async def charge(order: Order, context: Context) -> Receipt`.

    `idempotency_key` is the same for all attempts of a step: hand it to the outside world, so that a repeated call is
    known as one. `attempt` counts from 1. `deadline` is when this attempt is given up, in UTC. `home` is the folder
    that Handrail keeps its data in.
    """

    @property
    def workflow_id(self) -> str:
        """The workflow's id."""
        ...

    @property
    def step(self) -> str:
        """The step's id."""
        ...

    @property
    def attempt(self) -> int:
        """Number of this attempt; the first is 1."""
        ...

    @property
    def idempotency_key(self) -> str:
        """What the outside world is told, so that it knows a repeated call as one."""
        ...

    @property
    def deadline(self) -> datetime:
        """When this attempt is given up, in UTC."""
        ...

    @property
    def requested_by(self) -> str:
        """Who asked for the workflow."""
        ...

    @property
    def home(self) -> Path:
        """The folder that Handrail keeps its data in."""
        ...

    @property
    def logger(self) -> Logger:
        """A logger that names the attempt in each line."""
        ...

    @property
    def cancel_requested(self) -> bool:
        """Whether the workflow is stopping: end soon, by returning, or by raising NotApplied where nothing was done."""
        ...

    async def heartbeat(self) -> bool:
        """Let others run, and say whether the workflow is stopping. Long activities call it now and then."""
        ...

    async def write_artifact(self, name: str, data: bytes) -> ArtifactRef:
        """Keep a file durably, under its digest and as HOME/workflows/ID/NAME; raises Permanent for a bad name."""
        ...

    def write_artifact_sync(self, name: str, data: bytes) -> ArtifactRef:
        """The same for plain functions, which run in a thread of their own."""
        ...

    def secret(self, name: str) -> Secret:
        """Open a secret that the activity declares in `secrets=[…]`; raises Permanent where there is none."""
        ...
