"""TLS to the broker: its certificate and its host name are checked, and a client's certificate can be its login."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
import trustme

from domain.errors import BrokerUnavailable
from domain.transport import Published
from tests.broker.stage import Books, consumer, eventually, outgoing, publisher, with_work
from tests.servers.fixtures import vhost_on
from tests.servers.processes import Ground, free_ports
from tests.servers.rabbitmq import OwnBroker, Vhost


@dataclass
class Secure:
    """A node that speaks TLS, and the certificates around it."""

    vhost: Vhost
    port: int
    folder: Path

    def url(self, login: str = "", host: str = "localhost", **parameters: str) -> str:
        query = urlencode({name: str(self.folder / value) for name, value in parameters.items() if name != "auth"})
        if "auth" in parameters:
            query += f"&auth={parameters['auth']}"
        at = f"{login}@" if login else ""
        return f"amqps://{at}{host}:{self.port}/{quote(self.vhost.name, safe='')}?{query}"

    @property
    def admin(self) -> str:
        admin = self.vhost.broker.admin
        return f"{admin.name}:{admin.password}"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OwnBroker, int, Path]]:
    folder = tmp_path_factory.mktemp("certificates")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    stranger.cert_pem.write_to_path(folder / "stranger.pem")
    server = authority.issue_cert("localhost")
    server.cert_chain_pems[0].write_to_path(folder / "server.pem")
    server.private_key_pem.write_to_path(folder / "server.key")
    client = authority.issue_cert("service@example.org", common_name="service")
    client.cert_chain_pems[0].write_to_path(folder / "client.pem")
    client.private_key_pem.write_to_path(folder / "client.key")
    (port,) = free_ports(1)
    ground = Ground("rabbitmq")
    try:
        broker = OwnBroker(
            ground,
            [
                f"listeners.ssl.1 = 127.0.0.1:{port}",
                f"ssl_options.cacertfile = {folder / 'ca.pem'}",
                f"ssl_options.certfile = {folder / 'server.pem'}",
                f"ssl_options.keyfile = {folder / 'server.key'}",
                "ssl_options.verify = verify_peer",
                "ssl_options.fail_if_no_peer_cert = false",
                "auth_mechanisms.1 = PLAIN",
                "auth_mechanisms.2 = EXTERNAL",
                "ssl_cert_login_from = common_name",
            ],
        )
        plugins = "[rabbitmq_management,rabbitmq_auth_mechanism_ssl].\n"
        (ground.folder / "enabled_plugins").write_text(plugins, encoding="utf-8")
        broker.start()
        yield broker, port, folder
        broker.leave()
    finally:
        ground.leave()


@pytest.fixture
def secure(node: tuple[OwnBroker, int, Path]) -> Iterator[Secure]:
    broker, port, folder = node
    broker.ensure()
    for vhost in vhost_on(broker):
        yield Secure(with_work(vhost), port, folder)


async def test_both_ends_speak_tls_with_a_password(secure: Secure) -> None:
    url = secure.url(secure.admin, cafile="ca.pem")
    books = Books()
    async with publisher(url) as sender, consumer(url, books):
        assert await sender.publish([outgoing(1), outgoing(2)]) == [Published.CONFIRMED] * 2
        await books.have(2)


async def test_a_certificate_is_the_login(secure: Secure) -> None:
    broker = secure.vhost.broker
    broker.ask("PUT", "users", "service", body={"password_hash": "", "tags": ""})
    rights = {"configure": "^$", "write": "^in$", "read": "^work$"}
    broker.ask("PUT", "permissions", secure.vhost.name, "service", body=rights)
    files = {"cafile": "ca.pem", "certfile": "client.pem", "keyfile": "client.key"}
    url = secure.url("service", **files, auth="external")
    books = Books()
    async with publisher(url) as sender, consumer(url, books):
        assert await sender.publish([outgoing(1)]) == [Published.CONFIRMED]
        await books.have(1)
    assert books.deliveries[0].user_id == "service"


@pytest.mark.parametrize(
    ("host", "authority", "words"),
    [
        ("localhost", "stranger.pem", "certificate verify failed"),
        ("127.0.0.1", "ca.pem", "certificate verify failed: IP address mismatch"),
    ],
)
async def test_a_broker_that_is_not_the_one_it_should_be_gets_no_password(
    secure: Secure, host: str, authority: str, words: str
) -> None:
    url = secure.url(secure.admin, host=host, cafile=authority)
    async with publisher(url, timeout_seconds=2.0) as sender:
        with pytest.raises(BrokerUnavailable):
            await sender.publish([outgoing(1)])
        assert words in sender.health.detail
    async with consumer(url, Books()) as receiver:
        await eventually(lambda: words in receiver.link.detail, "the consumer refuses as well")


async def test_a_file_that_is_missing_is_said(secure: Secure) -> None:
    url = secure.url(secure.admin, cafile="none.pem")
    async with publisher(url, timeout_seconds=1.0) as sender:
        with pytest.raises(BrokerUnavailable):
            await sender.publish([outgoing(1)])
        assert "No such file" in sender.health.detail
