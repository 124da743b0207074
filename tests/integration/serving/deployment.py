"""A deployment of its own: a virtual host with the topology, a database with its tables, and real serving processes."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.broker_definitions import broker_definitions
from deploy.loading import LoadedDefinitions, load
from deploy.migrations import MIGRATIONS
from deploy.opened import SCHEMA
from deploy.serving.activities import all_queues
from domain.rights import User, goal_service, runtime
from domain.store.application import WorkflowStore
from domain.store.migrations_postgres import migrate
from domain.store.opening import open_postgres_store
from domain.topology import Listener, topology_of
from tests.servers.postgres import Database
from tests.servers.rabbitmq import Login, Vhost

ROOT = Path(__file__).resolve().parents[3]
LIMIT_SECONDS = 60.0
RECIPES = "tests.integration.recipes"


@dataclass
class Served:
    """One `handrail serve` process, and what it logged so far."""

    process: subprocess.Popen[bytes]
    log: Path
    address: str = ""

    @property
    def said(self) -> list[dict[str, Any]]:
        """Its log, line by line; every line is JSON."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def ask(self, path: str) -> tuple[int, Any]:
        """What it answers over HTTP."""
        try:
            with urllib.request.urlopen(f"{self.address}{path}", timeout=10) as answer:  # noqa: S310 - our own address
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def terminate(self) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_SECONDS)

    def kill9(self) -> None:
        """Kill it where it stands."""
        self.process.kill()
        self.process.wait(LIMIT_SECONDS)


@dataclass
class Deployment:
    """Where serving processes of one test run. Made in a test's folder; ended with `end`."""

    vhost: Vhost
    database: Database
    folder: Path
    modules: str = RECIPES
    listeners: Sequence[Listener] = ()
    processes: list[Served] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.definitions: LoadedDefinitions = load(self.modules.split(","))
        topology = topology_of(all_queues(self.definitions), self.listeners)
        self.vhost.define(broker_definitions(topology, [], self.vhost.name))
        self.runtime = self.login(runtime("runtime"))
        self.goal_service = self.login(goal_service("goals"))
        migrate(self.database.url, MIGRATIONS)
        self.store = self.opened()

    def login(self, user: User) -> Login:
        """Make a user with the rights that Handrail gives it."""
        topics = {right.exchange: (right.write, right.read) for right in user.topics}
        return self.vhost.login(
            user.name, configure=user.configure, write=user.write, read=user.read, tags=user.tags, topics=topics
        )

    def opened(self) -> WorkflowStore:
        """The store, for the test to look into."""
        return self.opened_at(self.database.url)

    def opened_at(self, url: str) -> WorkflowStore:
        """The store, at this address."""
        return open_postgres_store(url, definitions=self.definitions, schema=SCHEMA)

    @property
    def environment(self) -> dict[str, str]:
        """What every process of it is given."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HANDRAIL_")}
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]),
            "HANDRAIL_MODULES": self.modules,
            "HANDRAIL_STORE": self.database.url,
            "HANDRAIL_BROKER": self.vhost.url_of(self.runtime),
            "HANDRAIL_ARTIFACTS": str(self.folder / "artifacts"),
            "HANDRAIL_GRACE_SECONDS": "10",
            "HANDRAIL_SWEEP_SECONDS": "0.2",
            "HANDRAIL_HEARTBEAT_SECONDS": "0",
            "COLUMNS": "100",
            **self.settings,
        }

    def serve(self, *arguments: str, ready: bool = True, **environment: str) -> Served:
        """Begin a process, and wait until it is ready, or at least until it serves, or waits for its store."""
        return self.up(self.begun(*arguments, port=0, **environment), ready=ready)

    def up(self, served: Served, *, ready: bool = True) -> Served:
        """The same process, when it is ready, or at least serves."""
        served.address = self._address(served)
        if ready:
            until(lambda: served.ask("/readyz")[0] == 200, lambda: f"not ready: {served.ask('/readyz')}")
        return served

    def begun(self, *arguments: str, port: int | None = 0, **environment: str) -> Served:
        """Begin a process; it may not have come to anything yet."""
        answering = () if port is None else ("--port", str(port))
        log = self.folder / f"serve-{len(self.processes)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "serve", *arguments, *answering],
                cwd=self.folder,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        served = Served(process, log)
        self.processes.append(served)
        return served

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of this deployment to its end."""
        return subprocess.run(
            [sys.executable, "-m", "deploy.cli", *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )

    def statuses(self, workflow_ids: Sequence[str]) -> dict[str, str]:
        """The status of each workflow that the store has."""
        known = [one for one in workflow_ids if self.store.exists(one)]
        return {one: str(self.store.load(one).status) for one in known}

    def end(self) -> None:
        """Kill what still runs, and close the store."""
        for served in self.processes:
            if served.process.poll() is None:
                served.kill9()
        self.store.close()

    def _address(self, served: Served) -> str:
        def found() -> str:
            if served.process.poll() is not None:
                raise AssertionError(f"it ended with {served.process.returncode}:\n{served.log.read_text()}")
            said = served.log.read_text(encoding="utf-8")
            waits = "waiting for the store" in said
            at = re.search(rf"{'health is told' if waits else 'serving .*'} at (http://[0-9.:]+)", said)
            return at[1] if at is not None else ""

        address: str = until(found, lambda: f"it never said where it serves:\n{served.log.read_text()}")
        return address


def until(look: Any, what: Any, limit_seconds: float = LIMIT_SECONDS) -> Any:
    """The first thing that `look` gives and that is something; fails with `what` says when the limit is over."""
    deadline = time.monotonic() + limit_seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(what() if callable(what) else what)
        select.select([], [], [], 0.02)
    return found
