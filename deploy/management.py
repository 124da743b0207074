"""RabbitMQ's management interface: what is declared on the broker, and declaring it; in bounded time.

Errors name the address without its password, and never repeat what was sent: bodies hold passwords.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

import httpx

from deploy.addresses import Address
from domain.certificates import certificate_advice
from domain.errors import BrokerUnavailable, BrokerUnfit, InputInvalid

ANSWER_SECONDS: Final = 15.0
MOST_REASON_CHARACTERS: Final = 300
_FILES: Final = frozenset({"cafile", "certfile", "keyfile"})


class Management:
    """A connection to the management interface, as the user in its address.

    An `https` address may name `cafile`, `certfile` and `keyfile` as parameters; the certificate and the host's name
    are always checked.
    """

    def __init__(self, address: Address, *, timeout_seconds: float = ANSWER_SECONDS) -> None:
        """Nothing is asked yet; raises InputInvalid where the address has no user or names files that are not there."""
        parts = urlsplit(address.url)
        files = dict(parse_qsl(parts.query))
        unknown = sorted(files.keys() - _FILES)
        if unknown:
            raise InputInvalid(
                f"the management address {address} has the parameter {unknown[0]}, which means nothing here: leave it "
                "out (there are cafile, certfile and keyfile)"
            )
        if not parts.username:
            raise InputInvalid(f"the management address {address} names no user: write it as https://user@host:port")
        self.shown = address.shown
        self.user = unquote(parts.username)
        place = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        self._client = httpx.Client(
            base_url=f"{place}/api/",
            auth=(self.user, unquote(parts.password or "")),
            timeout=timeout_seconds,
            verify=_tls(files, address) if parts.scheme == "https" else True,
            # Proxies of the environment are for the way out, and would be told the password.
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def version(self) -> str:
        """The broker's version."""
        return str(self.get("overview")["rabbitmq_version"])

    def clock(self) -> datetime | None:
        """What time it is there, to the second; None where it does not say."""
        try:
            return parsedate_to_datetime(self._ask("GET", ("overview",)).headers["date"])
        except (KeyError, ValueError):
            return None

    def get(self, *path: str) -> Any:
        """What is there; raises BrokerUnfit where nothing is."""
        return self._ask("GET", path).json()

    def find(self, *path: str) -> Any | None:
        """What is there, or None."""
        answer = self._ask("GET", path, absent=True)
        return None if answer.status_code == httpx.codes.NOT_FOUND else answer.json()

    def every(self, *path: str, columns: str) -> list[dict[str, Any]]:
        """All of a list, these columns of each; raises BrokerUnfit where the list is not there."""
        found: list[dict[str, Any]] = self._ask("GET", path, parameters={"columns": columns}).json()
        return found

    def put(self, *path: str, body: Mapping[str, Any]) -> None:
        """Declare something, or declare it anew."""
        self._ask("PUT", path, body=body)

    def post(self, *path: str, body: Mapping[str, Any]) -> None:
        """Add something."""
        self._ask("POST", path, body=body)

    def delete(self, *path: str) -> None:
        """Remove something; what is not there is removed."""
        self._ask("DELETE", path, absent=True)

    def _ask(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        body: Mapping[str, Any] | None = None,
        parameters: Mapping[str, str] | None = None,
        absent: bool = False,
    ) -> httpx.Response:
        """Raises BrokerUnavailable where nobody answers, BrokerUnfit where the answer is no."""
        where = "/".join(quote(part, safe="") for part in path)
        try:
            answer = self._client.request(method, where, json=body, params=parameters)
        except httpx.TimeoutException as error:
            raise BrokerUnavailable(
                f"the management interface at {self.shown} did not answer in time: see whether the broker is well"
            ) from error
        except httpx.TransportError as error:
            words = " ".join(str(error).split()) or type(error).__name__
            advice = certificate_advice(words, authority="cafile", client="certfile and keyfile")
            raise BrokerUnavailable(
                f"the management interface at {self.shown} cannot be reached ({words}): "
                + (advice or "is rabbitmq_management enabled there, and HANDRAIL_BROKER_MANAGEMENT right?")
            ) from error
        if answer.status_code == httpx.codes.NOT_FOUND and absent:
            return answer
        if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise BrokerUnfit(
                f"the management interface at {self.shown} refuses {method} {where}: {_reason(answer)}; it takes a "
                "user with the tag administrator, and its password"
            )
        if answer.is_server_error:
            raise BrokerUnavailable(
                f"the management interface at {self.shown} answers {method} {where} with {answer.status_code}: "
                f"{_reason(answer)}; see the broker's log"
            )
        if not answer.is_success:
            raise BrokerUnfit(
                f"the management interface at {self.shown} answers {method} {where} with {answer.status_code}: "
                f"{_reason(answer)}"
            )
        return answer


def _reason(answer: httpx.Response) -> str:
    """What the broker says is wrong, in one line."""
    try:
        said = answer.json()
    except ValueError:
        return answer.reason_phrase or "it says nothing more"
    reason = said.get("reason") or said.get("error") if isinstance(said, dict) else said
    return " ".join(str(reason).split())[:MOST_REASON_CHARACTERS]


def _tls(files: Mapping[str, str], address: Address) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=files.get("cafile"))
        if "certfile" in files:
            context.load_cert_chain(files["certfile"], files.get("keyfile"))
    except (OSError, ssl.SSLError) as error:
        raise InputInvalid(
            f"the certificates that the management address {address} names cannot be read: {error.strerror or error}"
        ) from error
    return context
