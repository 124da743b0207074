"""`make demo-rabbitmq`: a goal, an approval and an artifact over a real RabbitMQ and a real PostgreSQL.

    python -m tests.demo.rabbitmq [--vendor VENDOR]

Starts both servers for itself in a temporary folder, and nothing listens beyond this machine. Then it types what an
administrator, an operator and two other services would type, and prints it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from tests.node_programs import node, node_environment
from tests.servers.postgres import own_cluster
from tests.servers.rabbitmq import own_broker

ROOT: Final = Path(__file__).resolve().parents[2]
CLIENTS: Final = ROOT / "deploy" / "examples" / "clients"
HANDRAIL: Final = (sys.executable, "-m", "deploy.cli")
LIMIT_SECONDS: Final = 60.0
PASSWORD: Final = "for this demonstration only"

CREDENTIALS: Final = {
    "handrail-runtime": {"password": PASSWORD},
    "desk": {"role": "approval", "password": PASSWORD, "definitions": ["vendor onboarding review"]},
    "desk-screen": {"role": "listener", "password": PASSWORD, "announcements": ["approval.requested.#"]},
}

Found = TypeVar("Found")


class DemoFailed(Exception):
    """Something did not come out as it was to be shown."""


class Demo:
    """The servers, the environment that all programs share, and the programs that run on."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """Start the servers."""
        self._stack = stack
        self.folder = folder
        _say("starting a RabbitMQ and a PostgreSQL of this demonstration's own")
        cluster = own_cluster()
        stack.callback(cluster.leave)
        cluster.ensure()
        broker = own_broker()
        stack.callback(broker.leave)
        broker.ensure()
        self.broker = broker
        place = f"{broker.host}:{broker.port}/handrail"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HANDRAIL_")},
            "PYTHONPATH": str(ROOT),
            "HANDRAIL_STORE": cluster.new_database().url,
            "HANDRAIL_BROKER": f"amqp://handrail-runtime@{place}",
            "HANDRAIL_BROKER_PASSWORD_FILE": self._written("broker-password", PASSWORD),
            "HANDRAIL_BROKER_MANAGEMENT": broker.management_url.replace("://", f"://{broker.admin.name}@"),
            "HANDRAIL_BROKER_MANAGEMENT_PASSWORD_FILE": self._written("management-password", broker.admin.password),
            "HANDRAIL_VOUCHING": json.dumps({"desk": ["vendor onboarding review"]}),
            "HANDRAIL_ARTIFACTS": str(folder / "artifacts"),
        }
        self.credentials = self._written("broker-users.json", json.dumps(CREDENTIALS))

    def url_of(self, login: str) -> str:
        """Where another service connects."""
        return f"amqp://{login}:{PASSWORD.replace(' ', '%20')}@{self.broker.host}:{self.broker.port}/handrail"

    def type(self, *arguments: str) -> str:
        """Run a command of Handrail's, as it is shown; what it printed."""
        _say(f"$ handrail {' '.join(arguments)}")
        ended = subprocess.run(
            [*HANDRAIL, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        sys.stdout.write(ended.stdout)
        sys.stdout.flush()
        if ended.returncode != 0:
            raise DemoFailed(f"handrail {arguments[0]} ended with {ended.returncode}")
        return ended.stdout

    def begin(
        self, command: Sequence[str], *, log: str, shown: bool = False, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a program that runs on; it is asked to end with the demonstration. `shown` lets its output through."""
        program = subprocess.Popen(
            command,
            env={**self.environment, **(environment or {})},
            cwd=self.folder,
            stdout=None if shown else subprocess.PIPE,
            stderr=(self.folder / log).open("wb"),
            text=True,
        )
        self._stack.callback(_ended, program)
        return program

    def _written(self, name: str, content: str) -> str:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(content, encoding="utf-8")
        return str(path)


def show(demo: Demo, vendor: str) -> None:
    """The way of one goal."""
    demo.type("topology", "apply", "--credentials", demo.credentials)
    demo.type("migrate")
    _say("$ handrail serve all --port 0 &")
    demo.begin([*HANDRAIL, "serve", "all", "--port", "0"], log="serve.log")
    log = demo.folder / "serve.log"
    _until(lambda: re.search(r"serving .* at http", log.read_text(encoding="utf-8")), "the roles never began to serve")
    _say("$ node approval_listener.js handrail.listener.desk-screen &     # another service, in Node.js")
    listener = demo.begin(
        [node(), str(CLIENTS / "approval_listener.js"), "handrail.listener.desk-screen"],
        log="listener.log",
        environment=node_environment(AMQP_URL=demo.url_of("desk-screen")),
    )
    goal = ("submit", "--goal", "vendor onboarding review", "--input", f"vendor_dir={vendor}", "--by", "rita", "--wait")
    _say(f"$ handrail {' '.join(goal)}")
    submitting = demo.begin([*HANDRAIL, *goal], log="submit.log", shown=True)
    request = listener.stdout.readline() if listener.stdout is not None else ""
    asked = json.loads(request)
    _say(f"the listener heard: {asked['step']} of {asked['workflow_id']} waits: {asked['reason']}")
    _say("$ tail -1 requests.jsonl | node approval_sender.js approve alice   # another service, in Node.js")
    subprocess.run(
        [node(), str(CLIENTS / "approval_sender.js"), "approve", "alice", "papers checked", "annual review"],
        env={**demo.environment, **node_environment(AMQP_URL=demo.url_of("desk"))},
        input=request,
        stdout=subprocess.DEVNULL,
        text=True,
        timeout=LIMIT_SECONDS,
        check=True,
    )
    if submitting.wait(LIMIT_SECONDS) != 0:
        raise DemoFailed("the workflow did not complete")
    artifact = demo.folder / "artifacts" / "workflows" / asked["workflow_id"] / "onboarding_decision.json"
    decision = json.loads(artifact.read_text(encoding="utf-8"))
    _say(f"{artifact.relative_to(demo.folder)}: {json.dumps(decision)[:300]} …")


def main() -> int:
    """Show it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vendor", default="northwind", help="a vendor that the example ships, or a folder of papers")
    given = parser.parse_args()
    with ExitStack() as stack, _interruptible():
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="handrail-demo-")))
        demo = Demo(folder, stack)
        try:
            show(demo, given.vendor)
        except DemoFailed as error:
            print(f"the demonstration failed: {error}", file=sys.stderr)
            print((folder / "serve.log").read_text(encoding="utf-8"), file=sys.stderr)
            return 1
    return 0


def _say(words: str) -> None:
    # In one piece with its end: what another program prints at the same time comes before or after it.
    sys.stdout.write(f"\n{words}\n" if words.startswith("$") else f"\n# {words}\n")
    sys.stdout.flush()


def _until(look: Callable[[], Found | None], otherwise: str) -> Found:
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        select.select([], [], [], 0.05)
    raise DemoFailed(otherwise)


def _ended(program: subprocess.Popen[str]) -> None:
    program.terminate()
    try:
        program.wait(LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have SIGTERM end it as Ctrl-C does: with its servers."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
