"""The servers of the tests: private, on the loopback address, as durable as real ones, and gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aio_pika
import psycopg
import pytest

from deploy.broker_definitions import version_parameter
from tests.servers import alertmanager, prometheus, web
from tests.servers import postgres as postgres_server
from tests.servers import rabbitmq as rabbitmq_server
from tests.servers.postgres import Database, OwnCluster
from tests.servers.processes import ServerBroken, ServerMissing, until
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import Broker, OwnBroker, Vhost

ROOT = Path(__file__).resolve().parents[2]
LISTENING = "0A"
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}

HOLDING = """
import json, os, pytest
from pathlib import Path

def test_holds(request):
    held = {}
    if "rabbitmq" in os.environ["HOLD"]:
        node = request.getfixturevalue("own_vhost").broker
        held.update(node=node.process.pid, mapper=node._mapper.pid, folder=str(node.ground.folder))
    cluster = request.getfixturevalue("own_database").cluster
    held.update(cluster=cluster.process.pid, data=str(cluster.ground.folder))
    Path(os.environ["SAY"]).write_text(json.dumps(held) + "\\n")
    input()
"""


# ------------------------------------------------------------------------------------------ where they listen


def descendants(process_id: int) -> Iterator[int]:
    """A process and all that it started."""
    yield process_id
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{process_id}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                yield from descendants(int(child))


def listens(process_id: int) -> set[tuple[str, int]]:
    """Address (as the kernel writes it) and port of every TCP socket on which a process or its children listen."""
    sockets = set()
    for one in descendants(process_id):
        # A process that is just ending shows nothing, and holds nothing: the servers' own have to be among the rest.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            for descriptor in Path(f"/proc/{one}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    sockets.add(str(descriptor.readlink()))
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in sockets:
                address, _, port = fields[1].partition(":")
                found.add((address, int(port, 16)))
    return found


def test_rabbitmq_listens_on_loopback_only(own_rabbitmq: OwnBroker) -> None:
    node, mapper = own_rabbitmq.process, own_rabbitmq._mapper
    assert node is not None
    assert mapper is not None
    found = listens(node.pid) | listens(mapper.pid)
    expected = {own_rabbitmq.port, own_rabbitmq.management_port, own_rabbitmq.distribution_port}
    assert {port for _, port in found} == {*expected, own_rabbitmq.mapper_port}
    assert {address for address, _ in found} <= LOOPBACK


def test_postgres_listens_on_loopback_only(own_postgres: OwnCluster) -> None:
    assert own_postgres.process is not None
    found = listens(own_postgres.process.pid)
    assert {port for _, port in found} == {own_postgres.port}
    assert {address for address, _ in found} <= LOOPBACK


SILENT = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}


@pytest.mark.parametrize(("kind", "configuration"), [(prometheus.Prometheus, {}), (alertmanager.Alertmanager, SILENT)])
def test_what_watches_listens_on_loopback_only_and_is_gone_afterwards(
    kind: type[web.WebServer], configuration: dict[str, object]
) -> None:
    with kind(configuration) as server:
        assert server.process is not None
        found = listens(server.process.pid)
        assert {port for _, port in found} == {server.port}
        assert {address for address, _ in found} <= LOOPBACK
    assert server.process.poll() is not None
    assert not server.folder.exists()


def test_a_configuration_that_is_none_is_an_error_that_says_why() -> None:
    with pytest.raises(ServerBroken, match="not a valid duration"):
        prometheus.Prometheus({"global": {"scrape_interval": "soon"}}).__enter__()


# --------------------------------------------------------------------------------------------- how they end


def hold(folder: Path, what: str) -> tuple[subprocess.Popen[bytes], dict[str, int | str]]:
    """Run a pytest that holds servers; the process, and what it said of them."""
    (folder / "test_holding.py").write_text(HOLDING, encoding="ascii")
    said = folder / "said"
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-s", "-p", "tests.servers.fixtures", "-n", "0", str(folder)],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "HOLD": what, "SAY": str(said), "PYTEST_ADDOPTS": ""},
        )

    def has_said() -> bool:
        assert process.poll() is None, (folder / "out").read_text()
        return said.exists() and said.read_text().endswith("\n")

    until(has_said, "the servers are held", 60.0)
    held: dict[str, int | str] = json.loads(said.read_text())
    return process, held


@pytest.mark.parametrize(
    ("how", "what"), [(signal.SIGINT, "postgres"), (signal.SIGTERM, "postgres"), (signal.SIGKILL, "rabbitmq")]
)
def test_nothing_is_left_when_the_tests_are_ended(tmp_path: Path, how: signal.Signals, what: str) -> None:
    process, held = hold(tmp_path, what)
    places = [Path(f"/proc/{one}") if isinstance(one, int) else Path(one) for one in held.values()]
    assert all(place.exists() for place in places)
    with process:
        process.send_signal(how)
        process.wait(30.0)
    until(lambda: not any(place.exists() for place in places), f"all of {held} are gone")


@pytest.mark.parametrize(
    ("variable", "find", "package"),
    [
        (rabbitmq_server.PROGRAM_VARIABLE, rabbitmq_server.rabbitmq_program, "rabbitmq-server"),
        (postgres_server.PROGRAMS_VARIABLE, postgres_server.postgres_programs, "postgresql"),
        (web.PROGRAMS_VARIABLE, prometheus.Prometheus.found, "prometheus"),
        (web.PROGRAMS_VARIABLE, prometheus.promtool, "prometheus"),
        (web.PROGRAMS_VARIABLE, alertmanager.Alertmanager.found, "prometheus-alertmanager"),
        (web.PROGRAMS_VARIABLE, alertmanager.amtool, "prometheus-alertmanager"),
    ],
)
def test_a_server_that_is_not_installed_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, find: Callable[[], object], package: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "nowhere"))
    with pytest.raises(ServerMissing, match=rf"apt-get install {package}\s"):
        find()


# ------------------------------------------------------------------------------------------- what they keep


async def test_a_killed_node_comes_back_with_its_messages(own_vhost: Vhost, own_rabbitmq: OwnBroker) -> None:
    connection = await aio_pika.connect(own_vhost.url)
    channel = await connection.channel()
    await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
    message = aio_pika.Message(b"held", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await channel.default_exchange.publish(message, "kept")
    await asyncio.to_thread(own_rabbitmq.restart)
    await connection.close()
    async with await aio_pika.connect(own_vhost.url) as again:
        queue = await (await again.channel()).get_queue("kept")
        got = await queue.get(timeout=10)
        assert got.body == b"held"


async def test_a_node_that_is_killed_when_its_queues_have_just_been_made_anew_has_them(
    own_vhost: Vhost, own_rabbitmq: OwnBroker
) -> None:
    names = [f"anew-{number}" for number in range(8)]
    for _ in ("made", "made anew"):
        async with await aio_pika.connect(own_vhost.url) as connection:
            channel = await connection.channel()
            for name in names:
                await channel.queue_delete(name)
            for name in names:
                await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
            await asyncio.to_thread(own_rabbitmq.restart)
    async with await aio_pika.connect(own_vhost.url) as connection:
        channel = await connection.channel()
        for name in names:
            queue = await channel.get_queue(name, ensure=False)
            assert await queue.get(fail=False, timeout=30) is None


def test_every_test_finds_the_node_up(own_rabbitmq_node: OwnBroker, own_vhost: Vhost) -> None:
    own_rabbitmq_node.suspend()
    own_rabbitmq_node.ensure()
    assert own_vhost.queues() == []


@pytest.mark.parametrize("how", ["fast", "kill9", "immediate"])
def test_a_cluster_that_went_down_comes_back_with_its_rows(own_database: Database, how: str) -> None:
    cluster = own_database.cluster
    assert isinstance(cluster, OwnCluster)
    with psycopg.connect(own_database.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    if how == "kill9":
        cluster.kill9()
    else:
        cluster.stop(how)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(own_database.url)
    cluster.start()
    with psycopg.connect(own_database.url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]


def test_a_cluster_commits_durably_and_its_owner_is_a_plain_user(own_database: Database) -> None:
    with psycopg.connect(own_database.url) as connection:
        rows = connection.execute(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'), rolsuper FROM pg_roles"
            " WHERE rolname = current_user"
        ).fetchall()
    assert rows == [("on", "on", False)]


def test_connections_to_a_database_can_be_closed(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        assert database.close_connections() == 1
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


async def test_connections_to_the_broker_can_be_closed(own_vhost: Vhost) -> None:
    connection = await aio_pika.connect(own_vhost.url)
    closed = asyncio.Event()
    connection.close_callbacks.add(lambda *_: closed.set())
    broker = own_vhost.broker
    await asyncio.to_thread(until, lambda: broker.connections() != [], "the management knows of the connection")
    assert await asyncio.to_thread(broker.close_connections) == 1
    await asyncio.wait_for(closed.wait(), 10)
    await connection.close()


async def test_a_login_may_do_what_it_was_given(vhost: Vhost) -> None:
    user = vhost.login("reader", read="^kept$")
    async with await aio_pika.connect(vhost.url) as connection:
        await (await connection.channel()).declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
    async with await aio_pika.connect(vhost.url_of(user)) as connection:
        queue = await (await connection.channel()).get_queue("kept")
        assert await queue.get(fail=False, timeout=10) is None
        with pytest.raises(aio_pika.exceptions.ChannelClosed, match="ACCESS_REFUSED"):
            await (await connection.channel()).declare_queue("other", durable=True)


def test_a_virtual_host_leaves_nothing_on_a_broker_that_goes_on(rabbitmq: Broker) -> None:
    made = rabbitmq.new_vhost()
    user = made.login("reader")
    parameter = version_parameter(made.name)
    rabbitmq.ask("PUT", "global-parameters", parameter, body={"name": parameter, "value": 1})
    made.drop()
    kept = [rabbitmq.ask("GET", kind) for kind in ("vhosts", "users", "permissions", "global-parameters")]
    assert [name for name in (made.name, user.name, parameter) if name in json.dumps(kept)] == []


# ---------------------------------------------------------------------------------------------- the proxy


def test_a_proxy_passes_on_and_counts(own_database: Database, proxies: Callable[[int], Proxy]) -> None:
    assert isinstance(own_database.cluster, OwnCluster)
    proxy = proxies(own_database.cluster.port)
    with psycopg.connect(proxy.through(own_database.url)) as connection:
        assert connection.execute("SELECT repeat('a', 300000)").fetchall() == [("a" * 300_000,)]
        assert (proxy.accepted, proxy.connections) == (1, 1)
    assert proxy.bytes_out > 300_000 > proxy.bytes_in > 0
    until(lambda: proxy.connections == 0, "the proxy saw the end")


@pytest.mark.parametrize("how", ["cut", "reset", "refuse"])
def test_a_proxy_ends_connections(own_database: Database, proxies: Callable[[int], Proxy], how: str) -> None:
    assert isinstance(own_database.cluster, OwnCluster)
    proxy = proxies(own_database.cluster.port)
    with psycopg.connect(proxy.through(own_database.url)) as connection:
        assert {"cut": proxy.cut, "reset": proxy.reset, "refuse": proxy.refuse}[how]() == 1
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    if how == "refuse":
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(proxy.through(own_database.url), connect_timeout=5)
        assert proxy.refused > 0
        proxy.accept()
    psycopg.connect(proxy.through(own_database.url)).close()


def test_a_stalled_proxy_holds_everything_back(own_database: Database, proxies: Callable[[int], Proxy]) -> None:
    assert isinstance(own_database.cluster, OwnCluster)
    proxy = proxies(own_database.cluster.port)
    with psycopg.connect(proxy.through(own_database.url), autocommit=True) as connection:
        proxy.stall()
        passed = proxy.bytes_out
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(proxy.through(own_database.url), connect_timeout=2)
        assert time.monotonic() - began > 1.0
        assert proxy.bytes_out == passed
        proxy.resume()
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
