"""The broker's address as data: who logs in, where, and what proves the broker's identity and ours.

`amqps://login:password@host:port/vhost?cafile=…&certfile=…&keyfile=…&auth=external`. Whoever speaks over TLS checks the
broker's certificate and its host name; there is no way to say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from domain.addresses import taken_apart, without_password
from domain.certificates import certificate_advice
from domain.errors import InputInvalid

_FILES: Final = frozenset({"cafile", "certfile", "keyfile"})
_MECHANISMS: Final = frozenset({"plain", "external"})
_EXAMPLE: Final = "amqps://login@host:5671/vhost"


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A checked address. `login` is who the broker knows us as: empty where only a certificate says it."""

    login: str
    shown: str
    _url: str = field(repr=False)

    @classmethod
    def read(cls, url: str) -> BrokerAddress:
        """The address in a URL.

        Raises InputInvalid where it is none, or asks for what is not done; the message never holds the password.
        """
        parts = taken_apart(url, "the broker's address", _EXAMPLE)
        try:
            _ = parts.port
        except ValueError:  # its words would repeat what stands there, which may be a password
            raise InputInvalid(f"the broker's address cannot be read: write it as {_EXAMPLE}") from None
        if parts.scheme not in {"amqp", "amqps"} or not parts.hostname:
            raise InputInvalid("the broker's address must be amqp://login@host:5672/vhost, or amqps://… for TLS")
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(given.keys() - _FILES - {"auth"})
        if unknown:
            raise InputInvalid(
                f"the broker's address has the parameter {unknown[0]}, which means nothing here:"
                " leave it out (there are cafile, certfile, keyfile and auth)"
            )
        if given.keys() & _FILES and parts.scheme != "amqps":
            raise InputInvalid("the broker's address names certificates without TLS: write amqps:// instead of amqp://")
        if ("certfile" in given) != ("keyfile" in given):
            raise InputInvalid("the broker's address names a certificate or its key: name both certfile and keyfile")
        mechanism = given.get("auth", "plain")
        if mechanism not in _MECHANISMS:
            raise InputInvalid("the broker's address has an auth that is neither plain nor external")
        if mechanism == "external" and "certfile" not in given:
            raise InputInvalid(
                "the broker's address says auth=external: name the certificate with certfile and keyfile"
            )
        login = unquote(parts.username or "")
        if not login and mechanism == "plain":
            raise InputInvalid("the broker's address names no login: write it as amqps://login@host/vhost")
        return cls(login, without_password(parts), url)

    def dialled(self, name: str, heartbeat_seconds: int) -> str:
        """The URL to connect with: the connection's name and its heartbeat added."""
        parts = urlsplit(self._url)
        added = urlencode({"name": name, "heartbeat": heartbeat_seconds}, quote_via=quote)
        return urlunsplit(parts._replace(query=f"{parts.query}&{added}" if parts.query else added))


_LOGIN_REFUSED: Final = "Login was refused"
"""RabbitMQ's words for a user that it does not know, and for a wrong password: it does not say which."""
_NOT_ENTERED: Final = "Expected one of ['Connection.OpenOk']"
"""The driver's words where the broker closes the connection instead of opening the virtual host: its reason is lost."""


def broker_trouble(error: BaseException) -> str:
    """What keeps us from the broker, in one line, and what to do about it where that is to be known from the words."""
    words = " ".join(str(error).split()) or type(error).__name__
    if words.startswith(_NOT_ENTERED):
        return (
            "the virtual host that the address names is not there, or may not be entered by this login: name another "
            "one, or declare it and its rights with `handrail topology apply`; the broker's log says which it is"
        )
    advice = certificate_advice(words, authority="cafile", client="certfile and keyfile")
    if _LOGIN_REFUSED in words:
        advice = "see that this login exists, and that its password (HANDRAIL_BROKER_PASSWORD_FILE) is right"
    return f"{words}: {advice}" if advice else words


def login_refused(trouble: str) -> bool:
    """Whether what keeps us from the broker, in the words of `broker_trouble`, is that it refuses the login."""
    return _LOGIN_REFUSED in trouble
