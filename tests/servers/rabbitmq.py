"""A RabbitMQ node of the tests' own, or an existing one; virtual hosts and logins made on it.

The private node listens on the loopback address only, its distribution port and its port mapper (epmd) included, and
may be killed and started again on the same data. Everything about it lies in one temporary folder.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx

from deploy.broker_definitions import version_parameter
from tests.servers.processes import (
    Ground,
    ServerBroken,
    ServerMissing,
    answers,
    environment,
    free_ports,
    last_words,
    until,
)

PROGRAM_VARIABLE = "HANDRAIL_TEST_RABBITMQ_SERVER"
"""Names the program to start instead of the one that is found."""
PLACES = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/rabbitmq/sbin/rabbitmq-server")
BOOT_SECONDS = 60.0
ANSWER_SECONDS = 30.0
LAST_WRITTEN = "handrail-test-last-written"
"""A parameter that means nothing: it is set so that the broker writes down all that came before it."""
NOTHING = "^$"
"""The pattern of a right that nobody has."""


@dataclass(frozen=True)
class Login:
    """A user of the broker."""

    name: str
    password: str = field(repr=False)


class Broker:
    """A running broker and its administrator."""

    def __init__(self, host: str, port: int, management_url: str, admin: Login) -> None:
        self.host = host
        self.port = port
        self.management_url = management_url
        self.admin = admin
        self.management = httpx.Client(
            base_url=f"{management_url}/api/", auth=(admin.name, admin.password), timeout=ANSWER_SECONDS
        )

    def amqp_url(self, user: Login, vhost: str) -> str:
        """Where a user connects to a virtual host."""
        login = f"{quote(user.name, safe='')}:{quote(user.password, safe='')}"
        return f"amqp://{login}@{self.host}:{self.port}/{quote(vhost, safe='')}"

    def ask(self, method: str, *parts: str, body: Any = None, absent: bool = False) -> Any:
        """Ask the management API; `parts` make the path. With `absent`, what is not there is None."""
        path = "/".join(quote(part, safe="") for part in parts)
        answer = self.management.request(method, path, json=body)
        if absent and answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.is_error:
            raise ServerBroken(f"{method} {path}: {answer.status_code} {answer.text[:1_000]}")
        return answer.json() if answer.content else None

    def new_vhost(self) -> Vhost:
        """Make a virtual host that nobody else uses."""
        name = f"handrail-test-{secrets.token_hex(4)}"
        self.ask("PUT", "vhosts", name)
        self.ask("PUT", "permissions", name, self.admin.name, body={"configure": ".*", "write": ".*", "read": ".*"})
        return Vhost(self, name)

    def connections(self) -> list[str]:
        """The names of the connections that the management knows; it learns of one within a second or so."""
        return [one["name"] for one in self.ask("GET", "connections")]

    def close_connections(self) -> int:
        """Close every connection, as an administrator would; how many there were."""
        names = self.connections()
        for name in names:
            self.ask("DELETE", "connections", name, absent=True)
        return len(names)

    def ensure(self) -> None:
        """Be up: an existing broker is."""

    def leave(self) -> None:
        """Let go of it."""
        self.management.close()


@dataclass
class Vhost:
    """A virtual host for one test, and the logins made for it; all gone when the test is over."""

    broker: Broker
    name: str
    logins: list[Login] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the administrator connects, who may do everything."""
        return self.broker.amqp_url(self.broker.admin, self.name)

    def url_of(self, user: Login) -> str:
        """Where a user connects."""
        return self.broker.amqp_url(user, self.name)

    def login(
        self,
        role: str,
        *,
        configure: str = NOTHING,
        write: str = NOTHING,
        read: str = NOTHING,
        tags: Sequence[str] = (),
        topics: Mapping[str, tuple[str, str]] | None = None,
    ) -> Login:
        """Make a user with these rights here; `topics` has patterns to write and to read by exchange.

        Its name begins with the role, and ends with what keeps it apart from other tests' users.
        """
        user = Login(f"{role}-{self.name.rpartition('-')[2]}", secrets.token_hex(8))
        self.broker.ask("PUT", "users", user.name, body={"password": user.password, "tags": ",".join(tags)})
        self.logins.append(user)
        self.permit(user, configure=configure, write=write, read=read, topics=topics)
        return user

    def permit(
        self,
        user: Login,
        *,
        configure: str = NOTHING,
        write: str = NOTHING,
        read: str = NOTHING,
        topics: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        """Give a user these rights here, instead of those it had."""
        rights = {"configure": configure, "write": write, "read": read}
        self.broker.ask("PUT", "permissions", self.name, user.name, body=rights)
        for exchange, (may_write, may_read) in (topics or {}).items():
            body = {"exchange": exchange, "write": may_write, "read": may_read}
            self.broker.ask("PUT", "topic-permissions", self.name, user.name, body=body)

    def define(self, definitions: Mapping[str, Any]) -> None:
        """Declare exchanges, queues and bindings, given as RabbitMQ's definitions of one virtual host."""
        kept = ("exchanges", "queues", "bindings", "policies")
        self.broker.ask("POST", "definitions", self.name, body={key: definitions.get(key, []) for key in kept})

    def queue(self, name: str) -> dict[str, Any] | None:
        """What the management knows of a queue, its arguments among it; None where it is not there."""
        known: dict[str, Any] | None = self.broker.ask("GET", "queues", self.name, name, absent=True)
        return known

    def queues(self) -> list[str]:
        """The names of all queues."""
        return sorted(one["name"] for one in self.broker.ask("GET", "queues", self.name))

    def drop(self) -> None:
        """Remove it, its users, and what the broker keeps beside it about its topology."""
        self.broker.ask("DELETE", "vhosts", self.name, absent=True)
        self.broker.ask("DELETE", "global-parameters", version_parameter(self.name), absent=True)
        for user in self.logins:
            self.broker.ask("DELETE", "users", user.name, absent=True)


class OwnBroker(Broker):
    """A private node: it may be killed, stopped, suspended and started again, on the same data and ports."""

    def __init__(self, ground: Ground, settings: Sequence[str] = ()) -> None:
        """Write its settings down; `settings` are further lines of rabbitmq.conf. It is started by `start`."""
        self.server = rabbitmq_program()
        self.ground = ground
        amqp, management, self.distribution_port, self.mapper_port = free_ports(4)
        admin = Login("test-administrator", secrets.token_hex(16))
        super().__init__("127.0.0.1", amqp, f"http://127.0.0.1:{management}", admin)
        self.management_port = management
        self.process: subprocess.Popen[bytes] | None = None
        self._mapper: subprocess.Popen[bytes] | None = None
        self._said = ground.folder / "said"
        self._killed = False
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{amqp}",
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {management}",
            f"default_user = {admin.name}",
            f"default_pass = {admin.password}",
            "vm_memory_high_watermark.absolute = 1GB",
            "disk_free_limit.absolute = 50MB",
            # The log that quorum queues write ahead is allocated whole: the default is 512 MB.
            "raft.wal_max_size_bytes = 33554432",
            "log.console = false",
            "log.file.level = info",
            *settings,
        ]
        (ground.folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (ground.folder / "enabled_plugins").write_text("[rabbitmq_management].\n", encoding="utf-8")

    @property
    def running(self) -> bool:
        """Its process is there."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the node, and wait until it accepts connections and answers its administrator."""
        folder = self.ground.folder
        mapper = {"ERL_EPMD_PORT": str(self.mapper_port), "ERL_EPMD_ADDRESS": "127.0.0.1"}
        if self._mapper is None or self._mapper.poll() is not None:
            # Started by us, in the foreground: one that Erlang starts by itself outlives the node, as a daemon.
            self._mapper = self.ground.start(
                [mapper_program(), "-port", str(self.mapper_port), "-address", "127.0.0.1"],
                said=self._said,
                variables=environment(folder, mapper),
                ending=signal.SIGKILL,
            )
            until(lambda: answers(self.mapper_port), f"epmd accepts connections ({last_words([self._said])})")
        variables = {
            **mapper,
            # Has the script become the node instead of waiting for it, so that the process id is the node's.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": f"handrail-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "none.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false +S 2:2 +SDio 4"
            ),
        }
        self.process = self.ground.start(
            [self.server], said=self._said, variables=environment(folder, variables), ending=signal.SIGKILL
        )
        until(self._up, f"RabbitMQ on port {self.port} is up", BOOT_SECONDS)

    def kill9(self) -> None:
        """Kill the node as suddenly as can be; `start` brings it back on the same data.

        First all that was declared is on its disk. RabbitMQ says so too early, which is not what tests are about:

        - A quorum queue's name is in a table that is written within a second, and a node killed before that has a queue
          that never answers again: 541, INTERNAL_ERROR, noproc (seen on 3.10.8).
        - Mnesia may write that a transaction was committed up to two seconds after the transaction itself, and drops
          one without the other when it starts: a binding that was declared is not there (seen on 4.0.5, where
          definitions are declared two at a time). Any further transaction has it written.
        """
        if self.running:
            self.ask("PUT", "global-parameters", LAST_WRITTEN, body={"value": secrets.token_hex(4)})
            until(self._names_written, "RabbitMQ has written down the names of its queues")
        self.ground.end(self.process, signal.SIGKILL)
        self._killed = True

    def restart(self) -> None:
        """Kill -9 the node and start it again."""
        self.kill9()
        self.start()

    def stop(self) -> None:
        """Stop the node in good order."""
        self.ground.end(self.process, signal.SIGTERM)

    def suspend(self) -> None:
        """Stop the node's clock: connections stay and nothing answers, until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a suspended node go on."""
        self._signal(signal.SIGCONT)

    def ensure(self) -> None:
        """Be up, whatever the test before has left behind.

        A node that was killed begins anew, on no data: on 3.10.8 it may refuse every further queue that dead-letters at
        least once (`rabbit_fifo_dlx_sup noproc`), which is not what the next test is about.
        """
        if self._killed:
            self._killed = False
            self.ground.end(self.process, signal.SIGKILL)
            shutil.rmtree(self.ground.folder / "data", ignore_errors=True)
            self.start()
        elif self.running:
            self.resume()
        else:
            self.start()

    def leave(self) -> None:
        """Kill node and mapper, and remove the folder."""
        super().leave()
        self.ground.leave()

    def _names_written(self) -> bool:
        """Whether the table of names knows every quorum queue there is.

        By the folders that the queues have, whose names are drawn anew for each: the table still holds the name of a
        queue that was deleted, which is that of the one made in its place.
        """
        return all(
            queue.name.encode() in table.read_bytes()
            for table in (self.ground.folder / "data").glob("*/quorum/*/names.dets")
            for queue in table.parent.iterdir()
            if queue.is_dir()
        )

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def _up(self) -> bool:
        if not self.running:
            words = last_words([self._said, *sorted((self.ground.folder / "log").glob("*.log"))])
            raise ServerBroken(f"RabbitMQ ended while it started:\n{words}")
        if not answers(self.port):
            return False
        try:
            return self.management.get("overview").is_success
        except httpx.TransportError:
            return False


def own_broker(settings: Sequence[str] = ()) -> OwnBroker:
    """Start a private node; another process that took a port meanwhile only makes it try again."""
    for last in (False, False, True):
        ground = Ground("rabbitmq")
        try:
            node = OwnBroker(ground, settings)
            node.start()
        except ServerBroken as error:
            ground.leave()
            if last or "eaddrinuse" not in str(error):
                raise
        except BaseException:
            ground.leave()
            raise
        else:
            return node
    raise ServerBroken("RabbitMQ found no free ports")


def existing_broker(amqp_url: str, management_url: str = "") -> Broker:
    """A broker that runs already; the URL's user must be an administrator.

    Where its management API is not given, it is looked for on the same host at the usual port.
    """
    parts = urlsplit(amqp_url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 5672
    admin = Login(unquote(parts.username or "guest"), unquote(parts.password or "guest"))
    given = urlsplit(management_url or f"http://{host}:15672")
    return Broker(host, port, f"{given.scheme}://{given.netloc.rpartition('@')[2]}", admin)


def rabbitmq_program() -> str:
    """The server's start script; raises ServerMissing. Debian's wrapper on the path would change the user."""
    named = os.environ.get(PROGRAM_VARIABLE)
    for place in [named] if named else PLACES:
        if place and Path(place).exists():
            return place
    found = None if named else shutil.which("rabbitmq-server")
    if found is None or found == "/usr/sbin/rabbitmq-server":
        raise ServerMissing(
            f"RabbitMQ is not installed{f' at {named}' if named else ''}: on Debian, apt-get install rabbitmq-server "
            "(`make test` does it as root); or set HANDRAIL_TEST_AMQP_URL to the administrator of a running one"
        )
    return found


def mapper_program() -> str:
    """Erlang's port mapper; raises ServerMissing."""
    found = shutil.which("epmd")
    if found is None:
        raise ServerMissing("Erlang's epmd is not installed: on Debian, apt-get install rabbitmq-server brings it")
    return found
