"""What an activity gets to see of its attempt: the implementation of `domain.context.Context`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from consumers.attempt_logger import AttemptLogger
from consumers.redaction import Redactor
from domain.definitions import ArtifactRef
from domain.errors import Permanent
from domain.events import Artifact
from domain.ports import Command
from domain.secret import Secret

MOST_ARTIFACTS: Final = 100
"""Files that one attempt may write."""


class ArtifactWriter(Protocol):
    """The artifact store, as an attempt uses it."""

    def write(self, workflow_id: str, name: str, data: bytes) -> Artifact:
        """Keep a file durably; raises Permanent for a name that is no plain file name, OSError where it cannot."""
        ...


class SecretSource(Protocol):
    """Where secrets come from."""

    def open(self, name: str) -> Secret:
        """Open a secret; raises Permanent where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all attempts of a process share."""

    home: Path
    artifacts: ArtifactWriter
    secrets: SecretSource
    redactor: Redactor


class AttemptContext:
    """One attempt, as its activity sees it; see `domain.context.Context`."""

    __slots__ = (
        "_command",
        "_declared_secrets",
        "_logger",
        "_surroundings",
        "artifacts",
        "cancel_requested",
        "deadline",
    )

    def __init__(
        self, command: Command, deadline: datetime, declared_secrets: tuple[str, ...], surroundings: Surroundings
    ) -> None:
        """Begin with nothing written and nothing asked."""
        self._command = command
        self._declared_secrets = declared_secrets
        self._surroundings = surroundings
        self._logger: AttemptLogger | None = None
        self.deadline = deadline
        self.cancel_requested = False
        self.artifacts: list[Artifact] = []

    @property
    def workflow_id(self) -> str:
        """The workflow's id."""
        return self._command.workflow_id

    @property
    def step(self) -> str:
        """The step's id."""
        return self._command.step

    @property
    def attempt(self) -> int:
        """Number of this attempt; the first is 1."""
        return self._command.attempt

    @property
    def idempotency_key(self) -> str:
        """What the outside world is told, so that it knows a repeated call as one."""
        return self._command.idempotency_key

    @property
    def requested_by(self) -> str:
        """Who asked for the workflow."""
        return self._command.requested_by

    @property
    def home(self) -> Path:
        """The folder that Handrail keeps its data in."""
        return self._surroundings.home

    @property
    def logger(self) -> AttemptLogger:
        """A logger that names the attempt in each line."""
        if self._logger is None:
            self._logger = AttemptLogger(self._command.activity, self._command.message_id, self._surroundings.redactor)
        return self._logger

    async def heartbeat(self) -> bool:
        """Let others run, and say whether the workflow is stopping."""
        await asyncio.sleep(0)
        return self.cancel_requested

    async def write_artifact(self, name: str, data: bytes) -> ArtifactRef:
        """Keep a file durably, under its digest and as HOME/workflows/ID/NAME."""
        return await asyncio.to_thread(self.write_artifact_sync, name, data)

    def write_artifact_sync(self, name: str, data: bytes) -> ArtifactRef:
        """The same for plain functions."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise Permanent(f"artifact {name!r}: data must be bytes, is {type(data).__name__}; encode it")
        if len(self.artifacts) >= MOST_ARTIFACTS:
            raise Permanent(f"artifact {name!r}: an attempt writes at most {MOST_ARTIFACTS} artifacts")
        held = bytes(data)
        self._surroundings.redactor.refuse_in(held, f"artifact {name!r}")
        written = self._surroundings.artifacts.write(self._command.workflow_id, name, held)
        self.artifacts.append(written)
        return ArtifactRef(name=written.name, digest=written.digest, size=written.size)

    def secret(self, name: str) -> Secret:
        """Open a secret that the activity declares."""
        if name not in self._declared_secrets:
            raise Permanent(
                f"activity {self._command.activity!r} does not declare the secret {name!r}; add it to secrets=[…]"
            )
        secret = self._surroundings.secrets.open(name)
        self._surroundings.redactor.keep(secret)
        return secret
