"""A deployment in parts: processes by name, each on a port that it keeps over its lives; goals; and what is typed."""

import asyncio
import shlex
import subprocess
from collections.abc import Iterable, Mapping

from domain.ids import workflow_id_from_message
from domain.messages import bodies
from tests.integration.doctor.clinic import management_of
from tests.integration.serving.deployment import Deployment, Served, until
from tests.integration.serving.test_serve_all import published
from tests.servers.processes import free_ports

HERE = "tests.integration.stuck"
# What stands in capitals in a command that `handrail stuck` prints, or has to be chosen, and what we type there.
TYPED = {"TEXT": "it is mended", "WHO": "ann", "N": "50", "[not-]applied": "not-applied"}


def modules(*names: str) -> str:
    """Modules of this folder, as HANDRAIL_MODULES names them."""
    return ",".join(f"{HERE}.{name}" for name in names)


class Stage:
    """Processes of one deployment by name, and the workflows that were asked for."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.ports: dict[str, int] = {}
        self.served: dict[str, Served] = {}
        self.goals: dict[str, str] = {}
        """Message ids and the ids of their workflows."""
        deployment.settings["HANDRAIL_BROKER_MANAGEMENT"] = management_of(deployment.vhost)

    def begin(self, name: str, *arguments: str, **environment: str) -> Served:
        """Begin a process of this name, on its own port; whoever asks for it with `up` waits for it."""
        port = self.ports.setdefault(name, 0) or free_ports(1)[0]
        self.ports[name] = port
        served = self.deployment.begun(*arguments, port=port, **environment)
        served.address = f"http://127.0.0.1:{port}"
        self.served[name] = served
        return served

    def up(self, *names: str) -> None:
        """Wait until these are ready."""
        for name in names:
            self.deployment.up(self.served[name])

    def serve(self, name: str, *arguments: str, **environment: str) -> Served:
        """Begin a process, and wait until it is ready."""
        self.begin(name, *arguments, **environment)
        self.up(name)
        return self.served[name]

    def kill(self, name: str) -> None:
        """Kill a process where it stands."""
        self.served[name].kill9()

    def submit(self, goals: Mapping[str, str]) -> list[str]:
        """Goals by message id, as a service sends them; the ids of their workflows."""
        asyncio.run(published(self.deployment, {name: bodies.Goal(goal=goal) for name, goal in goals.items()}))
        ids = {name: workflow_id_from_message(self.deployment.goal_service.name, name) for name in goals}
        self.goals |= ids
        return list(ids.values())

    def ended(self, workflow_ids: Iterable[str], status: str = "completed") -> None:
        """Wait until all of these have ended so."""
        names = list(workflow_ids)
        until(
            lambda: self.deployment.statuses(names) == dict.fromkeys(names, status),
            lambda: f"not all {status}: {self.deployment.statuses(names)}",
        )

    def waits(self, workflow_id: str, key: str) -> None:
        """Wait until a workflow waits for this, as its state names it."""
        store = self.deployment.store
        until(
            lambda: store.exists(workflow_id) and key in store.load(workflow_id).waits,
            lambda: f"{workflow_id} waits for {store.load(workflow_id).waits.keys()}, not for {key}",
        )

    def typed(self, line: str, code: int = 0) -> list[subprocess.CompletedProcess[str]]:
        """Run a line as `handrail stuck` prints it; each command of it has to end with this exit code."""
        ended = []
        for command in line.split(" && "):
            words = [TYPED.get(word, word) for word in shlex.split(command)]
            assert words[0] == "handrail"
            one = self.deployment.run(*words[1:])
            assert one.returncode == code, f"{words}: {one.returncode}\n{one.stdout}\n{one.stderr}"
            ended.append(one)
        return ended

    def served_as_typed(self, name: str, line: str, *, module: str = "", **environment: str) -> Served:
        """Begin a process by a line as `handrail stuck` prints it, with this for MODULE; nobody waits for it."""
        typed = {**TYPED, "MODULE": module}
        words = [typed.get(word, word) for word in shlex.split(line)]
        assert words[:2] == ["handrail", "serve"]
        return self.begin(name, *words[2:], **environment)
