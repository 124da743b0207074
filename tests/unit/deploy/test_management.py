"""The management interface's client: in bounded time, over TLS that is checked, and without a secret in any error."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme

from deploy.addresses import Address
from deploy.management import Management
from domain.errors import BrokerUnavailable, BrokerUnfit, InputInvalid

SECRET = "correct-horse"


class Answering(BaseHTTPRequestHandler):
    """Answers as its path says, and repeats nothing of the request."""

    def do_GET(self) -> None:
        if "silent" in self.path:
            self.rfile.read(1)  # until the other side has had enough
            return
        answers = {"overview": 200, "broken": 500, "refused": 401, "wrong": 400, "absent": 404}
        code = next((code for word, code in answers.items() if word in self.path), 200)
        body = json.dumps({"rabbitmq_version": "4.0.5", "reason": f"said {code}"}).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: object) -> None:
        """Say nothing."""


@contextmanager
def listening(context: ssl.SSLContext | None = None) -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(10)


def at(port: int, *, scheme: str = "http", parameters: str = "", host: str = "127.0.0.1") -> Management:
    url = f"{scheme}://admin:{SECRET}@{host}:{port}{parameters}"
    return Management(Address(url, f"{scheme}://admin@{host}:{port}"), timeout_seconds=0.5)


def test_it_reads_and_finds() -> None:
    with listening() as port, at(port) as management:
        assert management.version() == "4.0.5"
        assert management.find("absent") is None
        assert management.user == "admin"


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("silent", BrokerUnavailable, "did not answer in time"),
        ("broken", BrokerUnavailable, "with 500: said 500; see the broker's log"),
        ("refused", BrokerUnfit, "refuses GET refused: said 401; it takes a user with the tag administrator"),
        ("wrong", BrokerUnfit, "with 400: said 400"),
        ("absent", BrokerUnfit, "with 404: said 404"),
    ],
)
def test_trouble_is_told_without_the_password(path: str, error: type[Exception], words: str) -> None:
    with listening() as port, at(port) as management, pytest.raises(error) as caught:
        management.get(path)
    assert words in str(caught.value)
    assert f"http://admin@127.0.0.1:{port}" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_nobody_there() -> None:
    with listening() as port:
        pass
    with at(port) as management, pytest.raises(BrokerUnavailable, match=r"cannot be reached \(.*Connection refused\)"):
        management.version()


def test_a_certificate_is_checked_against_the_authority_that_is_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with listening(context) as port:
        with at(port, scheme="https", parameters=f"?cafile={tmp_path / 'ca.pem'}") as management:
            assert management.version() == "4.0.5"
        for parameters, host in (
            ("", "127.0.0.1"),
            (f"?cafile={tmp_path / 'other.pem'}", "127.0.0.1"),
            (f"?cafile={tmp_path / 'ca.pem'}", "localhost"),
        ):
            with (
                at(port, scheme="https", parameters=parameters, host=host) as management,
                pytest.raises(BrokerUnavailable, match="cannot be reached"),
            ):
                management.version()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://broker:15671", "names no user"),
        ("https://admin@broker:15671?verify=no", "has the parameter verify"),
        ("https://admin@broker:15671?cafile=missing.pem", "cannot be read"),
    ],
)
def test_an_address_that_does_not_fit_is_refused(url: str, words: str) -> None:
    with pytest.raises(InputInvalid, match=words):
        Management(Address(url, url))
