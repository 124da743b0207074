"""Servers that ask for a client's certificate, and a deployment over TLS that the command line sets up."""

from __future__ import annotations

import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from deploy.loading import load
from tests.integration.serving.deployment import Deployment
from tests.integration.tls.papers import Papers
from tests.servers.postgres import OWNER, OwnCluster
from tests.servers.processes import Ground, free_ports
from tests.servers.rabbitmq import Login, OwnBroker

SERVER_FILES = ("ca.pem", "server.pem", "server.key")
RUNTIME = "handrail-runtime"
SERVICE = "shop"

HOST_BASED = f"""
host    all test_administrator 127.0.0.1/32 scram-sha-256
hostssl all {OWNER} 127.0.0.1/32 scram-sha-256 clientcert=verify-full
"""
"""The tests' administrator as everywhere; whom Handrail connects as only with TLS, password and certificate."""


@dataclass
class Servers:
    """A node and a cluster for the tests of one file."""

    papers: Papers
    broker: OwnBroker
    amqps_port: int
    https_port: int
    cluster: OwnCluster

    def leave(self) -> None:
        self.broker.leave()
        self.cluster.leave()


def servers(folder: Path) -> Servers:
    """Start them; `leave` ends them."""
    papers = Papers.issue(folder / "papers", OWNER)
    cluster_ground = Ground("postgres")
    broker_ground = Ground("rabbitmq")
    try:
        cluster = OwnCluster(cluster_ground, {"ssl": "on"})
        papers.give(SERVER_FILES, cluster.data)
        files = {"ssl_ca_file": "ca.pem", "ssl_cert_file": "server.pem", "ssl_key_file": "server.key"}
        cluster.options |= {name: str(cluster.data / file) for name, file in files.items()}
        (cluster.data / "pg_hba.conf").write_text(HOST_BASED, encoding="ascii")
        cluster.start()
        cluster.prepare()
        amqps_port, https_port = free_ports(2)
        of_ours = [
            f"{place}.{setting}"
            for place in ("ssl_options", "management.ssl")
            for setting in (
                f"cacertfile = {papers.path('ca.pem')}",
                f"certfile = {papers.path('server.pem')}",
                f"keyfile = {papers.path('server.key')}",
                "verify = verify_peer",
                "fail_if_no_peer_cert = true",
            )
        ]
        listening = [
            f"listeners.ssl.1 = 127.0.0.1:{amqps_port}",
            "management.ssl.ip = 127.0.0.1",
            f"management.ssl.port = {https_port}",
        ]
        broker = OwnBroker(broker_ground, [*listening, *of_ours])
        broker.start()
    except BaseException:
        cluster_ground.leave()
        broker_ground.leave()
        raise
    return Servers(papers, broker, amqps_port, https_port, cluster)


@dataclass
class Paths:
    """What a client is told: where, whom it trusts, and with which certificate it comes."""

    host: str = "localhost"
    authority: str = "ca.pem"
    client: str = "client"

    def files(self, papers: Papers, names: tuple[str, str, str]) -> dict[str, str]:
        authority, certificate, key = names
        found = {authority: papers.path(self.authority)}
        if self.client:
            found |= {certificate: papers.path(f"{self.client}.pem"), key: papers.path(f"{self.client}.key")}
        return found


GOOD = Paths()
AMQP_FILES = ("cafile", "certfile", "keyfile")
LIBPQ_FILES = ("sslrootcert", "sslcert", "sslkey")


@dataclass
class SecureDeployment(Deployment):
    """A deployment whose processes know of servers only by TLS addresses without passwords, and password files."""

    servers: Servers = field(kw_only=True)

    def __post_init__(self) -> None:
        """Have the command line, and nobody else, make the tables and apply the topology."""
        self.definitions = load(self.modules.split(","))
        self.runtime = Login(RUNTIME, secrets.token_hex(16))
        self.goal_service = Login(SERVICE, secrets.token_hex(16))
        owner = urlsplit(self.database.url)
        self.passwords = {
            "store": owner.password or "",
            "broker": self.runtime.password,
            "broker_management": self.vhost.broker.admin.password,
            "shop": self.goal_service.password,
        }
        for name, password in self.passwords.items():
            file = self.folder / f"{name}.password"
            file.touch(mode=0o600)
            file.write_text(password + "\n", encoding="ascii")
        self.settings |= {
            "HANDRAIL_STORE": self.store_address(GOOD),
            "HANDRAIL_BROKER": self.broker_address(GOOD),
            "HANDRAIL_BROKER_MANAGEMENT": self.management_address(GOOD),
            **{f"HANDRAIL_{name.upper()}_PASSWORD_FILE": str(self.folder / f"{name}.password") for name in PLACES},
        }
        credentials = self.folder / "credentials.toml"
        credentials.touch(mode=0o600)
        credentials.write_text(
            f'[{RUNTIME}]\npassword_file = "{self.folder / "broker.password"}"\n'
            f'[{SERVICE}]\nrole = "goal"\npassword_file = "{self.folder / "shop.password"}"\n',
            encoding="utf-8",
        )
        self.set_up = [self.run("migrate"), self.run("topology", "apply", "--credentials", str(credentials))]
        self.vhost.logins += [self.runtime, self.goal_service]
        owner_url = self.store_address(GOOD).replace(f"{OWNER}@", f"{OWNER}:{owner.password}@", 1)
        for one in self.set_up:
            if one.returncode != 0:
                raise AssertionError(one.stdout + one.stderr)
        self.store = self.opened_at(owner_url)

    def store_address(self, paths: Paths) -> str:
        """`postgresql://…`, as `paths` say."""
        query = urlencode({"sslmode": "verify-full", **paths.files(self.servers.papers, LIBPQ_FILES)})
        return f"postgresql://{OWNER}@{paths.host}:{self.servers.cluster.port}/{self.database.name}?{query}"

    def broker_address(self, paths: Paths, login: str = RUNTIME) -> str:
        """`amqps://…`, as `paths` say."""
        query = urlencode(paths.files(self.servers.papers, AMQP_FILES))
        return f"amqps://{login}@{paths.host}:{self.servers.amqps_port}/{quote(self.vhost.name, safe='')}?{query}"

    def management_address(self, paths: Paths) -> str:
        """`https://…`, as `paths` say."""
        query = urlencode(paths.files(self.servers.papers, AMQP_FILES))
        return f"https://{self.vhost.broker.admin.name}@{paths.host}:{self.servers.https_port}?{query}"

    def as_shop(self) -> dict[str, str]:
        """What a goal service's own process is given."""
        return {
            "HANDRAIL_BROKER": self.broker_address(GOOD, SERVICE),
            "HANDRAIL_BROKER_PASSWORD_FILE": str(self.folder / "shop.password"),
        }

    def told_in(self, ended: subprocess.CompletedProcess[str]) -> set[str]:
        """Which passwords a command's words hold."""
        return self.told(ended.stdout + ended.stderr)

    def told(self, words: str) -> set[str]:
        """Which passwords these words hold."""
        return {name for name, password in self.passwords.items() if password in words}


PLACES = ("store", "broker", "broker_management")
