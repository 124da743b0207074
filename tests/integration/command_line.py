"""The real program in a process of its own, with a folder of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 60.0
RECIPES = "tests.integration.recipes"
PROGRAM = (sys.executable, "-m", "deploy.cli")


@dataclass(frozen=True)
class Ended:
    """What a command printed, and how it ended."""

    code: int
    out: str
    errors: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """Commands that share a folder to run in, and the home in it."""

    def __init__(self, folder: Path, modules: str = RECIPES) -> None:
        self.folder = folder
        self.modules = modules

    @property
    def home(self) -> Path:
        return self.folder / ".handrail"

    def environment(self, **more: str) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HANDRAIL_")}
        path = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
        return {**kept, "PYTHONPATH": path, "HANDRAIL_MODULES": self.modules, "COLUMNS": "100", **more}

    def __call__(self, *arguments: str, **environment: str) -> Ended:
        """Run a command to its end, with nobody at the terminal."""
        ended = subprocess.run(
            [*PROGRAM, *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command and leave it running; the caller ends it."""
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


class Pipe:
    """A named pipe that an activity waits on; what is written stays in it for as long as this is open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def write(self) -> None:
        os.write(self._descriptor, b"!")

    def close(self) -> None:
        os.close(self._descriptor)
