"""The stack of a run: a broker and a database of its own, each behind a proxy, and the outside with its ledger."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.broker_definitions import broker_definitions
from deploy.loading import load
from deploy.migrations import MIGRATIONS
from domain.rights import runtime
from domain.store.migrations_postgres import migrate
from domain.topology import PREFIX, Topology, activity_queue, activity_queues_of, dead_queue, topology_of
from tests.chaos.plan import LEASE_SECONDS
from tests.crash.outside import PORT_VARIABLE, Outside
from tests.crash.starting import ROOT
from tests.servers.postgres import Database, OwnCluster, own_cluster
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import Login, OwnBroker, Vhost, own_broker

MODULE: Final = "tests.chaos.workloads"
DEFINITIONS: Final = load([MODULE], examples=False)
TOPOLOGY: Final[Topology] = topology_of(
    {activity.queue for definition in load([MODULE]) for activity in definition.activities.values()}
)
LEDGER_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Stage:
    """Everything that faults are done to, but for the processes."""

    broker: OwnBroker
    vhost: Vhost
    cluster: OwnCluster
    database: Database
    broker_line: Proxy
    database_line: Proxy
    ledger_port: int
    runtime: Login
    service: Login

    def outside(self, world: str) -> Outside:
        """The outside of one workflow."""
        return Outside(self.ledger_port, world)

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """What the processes find around them: broker and database by way of the proxies."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HANDRAIL_")}
        return {
            **kept,
            "HANDRAIL_STORE": self.database_line.through(self.database.url),
            "HANDRAIL_BROKER": self.broker_line.through(self.vhost.url_of(self.runtime)),
            "HANDRAIL_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
            "HANDRAIL_HEARTBEAT_SECONDS": "0",
            "HANDRAIL_VOUCHING": json.dumps({self.service.name: ["*"]}),
            "HANDRAIL_OPERATING": json.dumps({self.service.name: {"*": ["*"]}}),
            PORT_VARIABLE: str(self.ledger_port),
            **extra,
        }

    def apply_topology(self) -> None:
        """Declare what is missing, as an administrator."""
        self.vhost.define(broker_definitions(TOPOLOGY, (), self.vhost.name))

    def migrate(self) -> None:
        """Make the tables."""
        migrate(self.database.url, MIGRATIONS)

    def working_queues(self) -> list[str]:
        """The queues that are worked on: all of Handrail's but the dead."""
        return [queue.name for queue in TOPOLOGY.queues if "dead" not in queue.name]

    def dead_queues(self) -> list[str]:
        """The queues of the dead that wait for a person; dead commands are Handrail's own business."""
        commands = {dead_queue(activity_queue(name)) for name in activity_queues_of(TOPOLOGY)}
        names = [queue.name for queue in TOPOLOGY.queues if queue.name.startswith(f"{PREFIX}dead.")]
        return [name for name in names if name not in commands]


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """A stage of its own, from its servers up; gone afterwards."""
    with contextlib.ExitStack() as opened:
        broker = own_broker()
        opened.callback(broker.leave)
        cluster = own_cluster()
        opened.callback(cluster.leave)
        yield opened.enter_context(staged_on(broker, cluster, folder))


@contextlib.contextmanager
def staged_on(broker: OwnBroker, cluster: OwnCluster, folder: Path) -> Iterator[Stage]:
    """A stage on servers that are there."""
    with contextlib.ExitStack() as opened:
        vhost = broker.new_vhost()
        opened.callback(vhost.drop)
        opened.callback(broker.ensure)
        database = cluster.new_database()
        opened.callback(cluster.drop, database)
        opened.callback(cluster.ensure)
        rights = runtime()
        stage = Stage(
            broker=broker,
            vhost=vhost,
            cluster=cluster,
            database=database,
            broker_line=opened.enter_context(Proxy(broker.port)),
            database_line=opened.enter_context(Proxy(cluster.port)),
            ledger_port=opened.enter_context(ledger(folder / "ledger.jsonl")),
            runtime=vhost.login("runtime", write=rights.write, read=rights.read),
            service=vhost.login("service", write=r"^handrail\.(goals|approvals|signals|control)$"),
        )
        stage.apply_topology()
        stage.migrate()
        yield stage


@contextlib.contextmanager
def ledger(file: Path) -> Iterator[int]:
    """The port of an outside ledger: a process of its own, which no fault hits."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash.ledger", str(file)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("the ledger was started without pipes")
        try:
            yield int(process.stdout.readline())
            process.stdin.close()
            process.wait(LEDGER_SECONDS)
        finally:
            process.kill()
