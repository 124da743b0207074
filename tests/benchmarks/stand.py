"""The real stack, for readings: a private broker and a private database server, a fresh deployment on them for each.

What the servers and the serving processes burn and hold is read from /proc, so it says what a step costs on a machine
that others use too. Both servers are as durable as their defaults: fsync on, synchronous_commit on, quorum queues.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import select
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.benchmarks.programs import ProgramFailed
from tests.integration.serving.deployment import Deployment, Served
from tests.servers.postgres import Database, OwnCluster, own_cluster
from tests.servers.processes import ServerBroken, ServerMissing
from tests.servers.rabbitmq import OwnBroker, own_broker

RECIPES: Final = "tests.benchmarks.recipes"
KIBIBYTES_A_MEBIBYTE: Final = 1_024

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_STATEMENT: Final = re.compile(rb"LOG:  (execute|statement)[^:]*:")


@dataclass(frozen=True, slots=True)
class Burnt:
    """Seconds of CPU so far, user and system: of the serving processes, of the database's server, of the broker."""

    serving: float
    database: float
    broker: float

    def __sub__(self, before: Burnt) -> Burnt:
        """What was burnt since."""
        return Burnt(self.serving - before.serving, self.database - before.database, self.broker - before.broker)

    def a_piece(self, pieces: int) -> dict[str, float]:
        """Microseconds a piece of work, by who burnt them."""
        return {
            "cpu_us": round((self.serving + self.database + self.broker) / pieces * 1e6, 1),
            "cpu_us_serving": round(self.serving / pieces * 1e6, 1),
            "cpu_us_database": round(self.database / pieces * 1e6, 1),
            "cpu_us_broker": round(self.broker / pieces * 1e6, 1),
        }


class Stand:
    """The servers. Used with `with`; readings are taken one after the other."""

    def __init__(self, folder: Path) -> None:
        """`folder` is where deployments keep their logs and artifacts."""
        self._folder = folder
        self.broker: OwnBroker
        self.cluster: OwnCluster

    def __enter__(self) -> Self:
        """Start the servers; raises ProgramFailed, saying what to install."""
        try:
            self.broker = own_broker()
            self.cluster = own_cluster()
        except (ServerMissing, ServerBroken) as error:
            self.__exit__()
            raise ProgramFailed(str(error)) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them, and remove what they wrote."""
        for server in (getattr(self, "cluster", None), getattr(self, "broker", None)):
            if server is not None:
                server.leave()

    @contextlib.contextmanager
    def deployed(self, *processes: Sequence[str], settings: Mapping[str, str] | None = None) -> Iterator[Deployment]:
        """A deployment with nothing in it, and these serving processes, each given by its roles and options."""
        folder = Path(tempfile.mkdtemp(prefix="deployment-", dir=self._folder))
        vhost, database = self.broker.new_vhost(), self.cluster.new_database()
        deployment = Deployment(vhost, database, folder, modules=RECIPES, settings=dict(settings or {}))
        # The deployment's own default is quick for tests; here it is what users have.
        deployment.settings.setdefault("HANDRAIL_SWEEP_SECONDS", "1")
        try:
            for arguments in processes:
                deployment.serve(*arguments)
            yield deployment
            ended = [one.process.returncode for one in deployment.processes if one.process.poll() is not None]
            if ended:
                raise ProgramFailed(f"a serving process ended with {ended[0]} while it was measured")
        finally:
            deployment.end()
            vhost.drop()
            self.cluster.drop(database)

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        """A database with nothing in it, for a peer."""
        made = self.cluster.new_database()
        try:
            yield made
        finally:
            self.cluster.drop(made)

    @contextlib.contextmanager
    def children_burnt(self) -> Iterator[list[float]]:
        """One entry: what programs run to their end burnt meanwhile, with what the database burnt for them."""
        found: list[float] = []
        before, children = self.burnt().database, _children_seconds()
        yield found
        found.append(self.burnt().database - before + _children_seconds() - children)

    def burnt(self, processes: Sequence[Served] = ()) -> Burnt:
        """What all of it has burnt so far."""
        if self.cluster.process is None or self.broker.process is None:
            raise ProgramFailed("the servers of the benchmark are not running")
        return Burnt(
            sum(_cpu_seconds(one.process.pid) for one in processes),
            sum(map(_cpu_seconds, _family(self.cluster.process.pid))),
            sum(map(_cpu_seconds, _family(self.broker.process.pid))),
        )

    @contextlib.contextmanager
    def statements_counted(self) -> Iterator[StatementCount]:
        """Have the database's server write down every statement, for as long as that."""
        count = StatementCount(self.cluster.ground.folder / "said")
        self._log("all")
        try:
            yield count
        finally:
            self._log("none")

    def _log(self, what: str) -> None:
        self.cluster.administer(f"ALTER SYSTEM SET log_statement = '{what}'")
        self.cluster.administer("SELECT pg_reload_conf()")


class StatementCount:
    """Counts statements in the words of a database's server."""

    def __init__(self, words: Path) -> None:
        """Begin where the server is now."""
        self._words = words
        self.begin()

    def begin(self) -> None:
        """Count from here on."""
        self._from = self._words.stat().st_size

    def statements(self) -> list[bytes]:
        """The statements since, each by its first line."""
        with self._words.open("rb") as words:
            words.seek(self._from)
            return [line for line in words.read().splitlines() if _STATEMENT.search(line)]


def resident_mebibytes(process_id: int) -> float:
    """The memory that a process holds now."""
    status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii", errors="replace")
    (kibibytes,) = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kibibytes) / KIBIBYTES_A_MEBIBYTE


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rest_for(seconds: float) -> None:
    """Do nothing for so long, while others are watched."""
    select.select([], [], [], seconds)


def _cpu_seconds(process_id: int) -> float:
    """User and system time of a process, and of its children that have ended."""
    try:
        text = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):  # it ended just now: its parent counts it
        return 0.0
    # The name, in parentheses, may hold blanks; fields 14 to 17 are counted from behind it.
    fields = text.rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / _TICKS_A_SECOND


def _family(process_id: int) -> Collection[int]:
    """A process and all that descend from it."""
    found = [process_id]
    for one in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found
