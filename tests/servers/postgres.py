"""A PostgreSQL cluster of the tests' own, or an existing one; databases made on it.

The private cluster listens on the loopback address only (no socket file), commits as durably as a real one (fsync
and synchronous_commit on), and may be stopped, killed and started again. Where the tests run as root it runs as a
plain user, because PostgreSQL refuses root.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.servers.processes import (
    Ground,
    ServerBroken,
    ServerMissing,
    environment,
    free_ports,
    last_words,
    until,
)

PROGRAMS_VARIABLE = "HANDRAIL_TEST_PG_BIN"
"""Names the folder of the programs to use instead of the newest that is found."""
PLAIN_USERS = ("postgres", "nobody")
ADMIN = "test_administrator"
OWNER = "handrail"
START_SECONDS = 30.0
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


@dataclass(frozen=True)
class Database:
    """A database for one test."""

    cluster: Cluster
    name: str

    @property
    def url(self) -> str:
        """Where its owner connects, who is no superuser."""
        return self.cluster.url(self.name)

    @property
    def admin_url(self) -> str:
        """Where the administrator connects."""
        return self.cluster.admin_url(self.name)

    def close_connections(self) -> int:
        """End every connection to it, as an administrator would; how many there were."""
        return self.cluster.close_connections(self.name)


class Cluster:
    """A running cluster: its administrator makes databases, each of which belongs to a plain owner."""

    def __init__(self, admin_url: str, owner_url: str) -> None:
        """The URLs name any database."""
        self._admin_url = admin_url
        self._owner_url = owner_url
        self._owner = urlsplit(owner_url).username or OWNER

    def url(self, database: str) -> str:
        """Where the owner of a database connects to it."""
        return at_database(self._owner_url, database)

    def admin_url(self, database: str) -> str:
        """Where the administrator connects to a database."""
        return at_database(self._admin_url, database)

    def new_database(self, template: str = "template1") -> Database:
        """Make a database that nobody else uses, as a copy of `template`."""
        name = f"handrail_test_{secrets.token_hex(4)}"
        self.administer(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
                sql.Identifier(name), sql.Identifier(template), sql.Identifier(self._owner)
            )
        )
        return Database(self, name)

    def drop(self, database: Database) -> None:
        """Remove a database, whoever is connected to it."""
        self.administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database.name)))

    def close_connections(self, database: str) -> int:
        """End every connection to a database; how many there were."""
        rows = self.administer(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            (database,),
        )
        return len(rows)

    def administer(self, statement: str | sql.Composed, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run one statement as the administrator; its rows."""
        with psycopg.connect(self._admin_url, autocommit=True, connect_timeout=10) as connection:
            composed = sql.SQL(statement) if isinstance(statement, str) else statement
            cursor = connection.execute(composed, values or None)
            return cursor.fetchall() if cursor.description else []

    def ensure(self) -> None:
        """Be up: an existing cluster is."""

    def leave(self) -> None:
        """Let go of it."""


class OwnCluster(Cluster):
    """A private cluster: it may be stopped, killed, suspended and started again, on the same data and port."""

    def __init__(self, ground: Ground, options: Mapping[str, str] | None = None) -> None:
        """Make its data; `options` are further settings of the server. It is started by `start`."""
        self.ground = ground
        self.programs = postgres_programs()
        self.data = ground.folder / "data"
        (self.port,) = free_ports(1)
        self.options = {
            **DURABLE,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **(options or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._said = ground.folder / "said"
        self._prefix = as_plain_user(ground.folder)
        passwords = {name: secrets.token_hex(16) for name in (ADMIN, OWNER)}
        self._make(passwords[ADMIN])
        self._owner_password = passwords[OWNER]
        super().__init__(
            *(f"postgresql://{name}:{passwords[name]}@127.0.0.1:{self.port}/postgres" for name in passwords)
        )

    @property
    def running(self) -> bool:
        """Its process is there."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = [word for name, value in self.options.items() for word in ("-c", f"{name}={value}")]
        self.process = self.ground.start(
            [*self._prefix, str(self.programs / "postgres"), "-D", str(self.data), "-p", str(self.port), *settings],
            said=self._said,
            variables=environment(self.ground.folder, {}),
            # Immediate: the server ends its own processes, and removes its shared memory.
            ending=signal.SIGQUIT,
        )
        until(self._up, f"PostgreSQL on port {self.port} is up", START_SECONDS)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: `fast` ends connections in good order, `immediate` leaves recovery to the next start."""
        self.ground.end(self.process, {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])

    def kill9(self) -> None:
        """Kill the server with all its processes as suddenly as can be; `start` brings it back on the same data."""
        if self.process is None or self.process.poll() is not None:
            return
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        self.ground.end(self.process, signal.SIGKILL)
        for child in children.split():
            kill_and_wait(int(child))

    def restart(self, mode: str = "immediate") -> None:
        """Stop the server and start it again."""
        self.stop(mode)
        self.start()

    def suspend(self) -> None:
        """Stop the clock of all of the server's processes: connections stay, nothing answers, until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a suspended server go on."""
        self._signal(signal.SIGCONT)

    def ensure(self) -> None:
        """Be up, whatever the test before has left behind."""
        if self.running:
            self.resume()
        else:
            self.start()

    def leave(self) -> None:
        """Stop the server and remove the folder."""
        if self.running:
            self.resume()
            self.stop("immediate")
        self.ground.leave()

    def _make(self, password: str) -> None:
        secret = self.ground.folder / "password"
        secret.write_text(password, encoding="ascii")
        if self._prefix:
            secret.chmod(0o644)
        made = subprocess.run(
            [
                *self._prefix,
                str(self.programs / "initdb"),
                *("-D", str(self.data), "-U", ADMIN, f"--pwfile={secret}"),
                # The data is nobody's but the tests': what fsync at creation protects can be made again.
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.ground.folder,
            env=environment(self.ground.folder, {}),
            timeout=120,
        )
        secret.unlink()
        if made.returncode:
            raise ServerBroken(f"initdb ended with {made.returncode}:\n{made.stdout}{made.stderr}")

    def prepare(self) -> None:
        """Make the owner of databases: a plain user."""
        self.administer(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(OWNER), sql.Literal(self._owner_password))
        )

    def _signal(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        for process_id in (self.process.pid, *map(int, children.split())):
            with contextlib.suppress(ProcessLookupError):  # a connection's process may end at any moment
                os.kill(process_id, number)

    def _up(self) -> bool:
        if not self.running:
            raise ServerBroken(f"PostgreSQL ended while it started:\n{last_words([self._said])}")
        try:
            psycopg.connect(self._admin_url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


def own_cluster(options: Mapping[str, str] | None = None) -> OwnCluster:
    """Start a private cluster; another process that took the port meanwhile only makes it try again."""
    for last in (False, False, True):
        ground = Ground("postgres")
        try:
            cluster = OwnCluster(ground, options)
            cluster.start()
            cluster.prepare()
        except ServerBroken as error:
            ground.leave()
            if last or "Address already in use" not in str(error):
                raise
        except BaseException:
            ground.leave()
            raise
        else:
            return cluster
    raise ServerBroken("PostgreSQL found no free port")


def existing_cluster(url: str) -> Cluster:
    """A cluster that runs already; the URL's user must be allowed to make databases, which it then owns."""
    return Cluster(url, url)


def at_database(url: str, database: str) -> str:
    """The same URL with another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{quote(database, safe='')}"))


def postgres_programs() -> Path:
    """The folder of the newest server programs; raises ServerMissing."""
    named = os.environ.get(PROGRAMS_VARIABLE)
    places = [Path(named)] if named else sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=version, reverse=True)
    on_path = shutil.which("initdb")
    if on_path and not named:
        places.append(Path(on_path).resolve().parent)
    for place in places:
        if (place / "postgres").exists() and (place / "initdb").exists():
            return place
    raise ServerMissing(
        f"PostgreSQL's server is not installed{f' in {named}' if named else ''}: on Debian, apt-get install postgresql "
        "(`make test` does it as root); or set HANDRAIL_TEST_PG_URL to a running one"
    )


def version(place: Path) -> int:
    """The number in the name of Debian's folder."""
    number = re.sub(r"\D", "", place.parent.name)
    return int(number or 0)


def as_plain_user(folder: Path) -> list[str]:
    """What to put before a command so that it does not run as root; the folder then belongs to that user."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ServerMissing("PostgreSQL refuses root, and setpriv is not there: on Debian, apt-get install util-linux")
    for name in PLAIN_USERS:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, user.pw_uid, user.pw_gid)
        return [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]
    raise ServerMissing(f"PostgreSQL refuses root, and there is no user {' or '.join(PLAIN_USERS)} to run it as")


def kill_and_wait(process_id: int) -> None:
    """Kill a process that is not our child, and wait until it has gone."""
    try:
        descriptor = os.pidfd_open(process_id)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{process_id}").exists(), f"process {process_id} has gone", 10.0)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)
