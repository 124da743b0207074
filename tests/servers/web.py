"""What the private Prometheus and Alertmanager share: one program each, on one port of the loopback address."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import httpx

from tests.servers.processes import Ground, ServerBroken, ServerMissing, environment, free_ports, last_words, until

PROGRAMS_VARIABLE = "HANDRAIL_TEST_PROMETHEUS_BIN"
IN_USE = "address already in use"
ANSWER_SECONDS = 10.0


class WebServer(ABC):
    """One server process and its folder; up while it is entered. `url` is where it answers."""

    name: ClassVar[str]

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        """`configuration` is what its file holds. Raises ServerMissing."""
        self.program = self.found()
        self._configuration = configuration
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    @abstractmethod
    def found() -> str:
        """The program; raises ServerMissing."""

    @abstractmethod
    def arguments(self) -> Sequence[str]:
        """What it is started with, beside its file and its address."""

    def __enter__(self) -> Self:
        for last in (False, False, True):
            self.ground = Ground(self.name)
            try:
                self._start()
            except ServerBroken as error:
                self.ground.leave()
                if last or IN_USE not in str(error):
                    raise
            except BaseException:
                self.ground.leave()
                raise
            else:
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ground.leave()

    @property
    def folder(self) -> Path:
        """Where it keeps its data."""
        return self.ground.folder

    def ask(self, path: str, **parameters: str) -> Any:
        """What its API answers to a GET."""
        answer = httpx.get(f"{self.url}{path}", params=parameters, timeout=ANSWER_SECONDS)
        if answer.is_error:
            raise ServerBroken(
                f"{self.name} answers {answer.status_code} to {path} {parameters}: {answer.text[:2_000]}"
            )
        return answer.json()

    def write(self, configuration: Mapping[str, Any]) -> None:
        """Write its file, which it reads when it is started, or told to."""
        # JSON is YAML.
        self._file.write_text(json.dumps(configuration), encoding="utf-8")

    def stop(self) -> None:
        """End it in good order."""
        self.ground.end(self.process, signal.SIGTERM)

    def _start(self) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self._file, self._said = self.folder / "configuration.yml", self.folder / "said.log"
        self.write(self._configuration)
        self.process = self.ground.start(
            [
                self.program,
                f"--config.file={self._file}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--log.level=warn",
                *self.arguments(),
            ],
            said=self._said,
            variables=environment(self.folder, {}),
            ending=signal.SIGKILL,
        )
        until(self._up, f"{self.name} on port {self.port} is up")

    def _up(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise ServerBroken(f"{self.name} ended while it started:\n{last_words([self._said])}")
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=ANSWER_SECONDS).is_success
        except httpx.TransportError:
            return False


def program(names: Sequence[str], package: str) -> str:
    """The first of these programs that is there; raises ServerMissing."""
    named = os.environ.get(PROGRAMS_VARIABLE)
    look: Callable[[str], str | None] = lambda name: shutil.which(name, path=named)  # noqa: E731 - asked of each
    for found in map(look, names):
        if found is not None:
            return found
    raise ServerMissing(
        f"{names[0]} is not installed{f' in {named}' if named else ''}: on Debian, apt-get install {package} "
        f"(`make test` does it as root); or name a folder with it in {PROGRAMS_VARIABLE}"
    )
