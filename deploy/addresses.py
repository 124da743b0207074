"""Addresses of the store and the broker: whole for those who connect, without their password for everybody who reads.

A password stands in the address or in a file of its own; a file is read when the address is asked for, and its content
is kept nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, quote, urlunsplit

from pydantic import SecretStr

from deploy.settings import Settings
from domain.addresses import taken_apart, without_password
from domain.errors import InputInvalid

MOST_PASSWORD_BYTES: Final = 4_096

_STORE_SCHEMES: Final = frozenset({"postgresql", "postgres"})
_BROKER_SCHEMES: Final = frozenset({"amqp", "amqps"})
_MANAGEMENT_SCHEMES: Final = frozenset({"http", "https"})

_EXAMPLES: Final = {
    "store": "postgresql://handrail@db/handrail",
    "broker": "amqps://handrail-runtime@mq/handrail",
    "broker_management": "http://handrail-administrator@mq:15672",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where something is: `url` with its password, `shown` without."""

    url: str = field(repr=False)
    shown: str

    def __str__(self) -> str:
        return self.shown


def store_address(settings: Settings) -> Address | None:
    """The address of the store, or None where it is in a home. Raises InputInvalid where it is none."""
    return _address("store", settings.store, settings.store_password_file, _STORE_SCHEMES)


def broker_address(settings: Settings) -> Address | None:
    """The address of the broker, or None where there is none. Raises InputInvalid where it is none."""
    return _address("broker", settings.broker, settings.broker_password_file, _BROKER_SCHEMES)


def operator_address(settings: Settings) -> Address | None:
    """The broker's address for whoever looks after dead letters: by default everybody's. Raises InputInvalid."""
    own = _address("broker_operator", settings.broker_operator, settings.broker_operator_password_file, _BROKER_SCHEMES)
    return own if own is not None else broker_address(settings)


def management_address(settings: Settings) -> Address | None:
    """The address of the broker's management interface, or None. Raises InputInvalid where it is none."""
    return _address(
        "broker_management",
        settings.broker_management,
        settings.broker_management_password_file,
        _MANAGEMENT_SCHEMES,
    )


def needed(address: Address | None, setting: str) -> Address:
    """The address; raises InputInvalid, naming the setting, where it is not set."""
    if address is None:
        raise InputInvalid(
            f"HANDRAIL_{setting.upper()} is not set; this command needs it, for example {_EXAMPLES[setting]}, with "
            f"the password in a file that HANDRAIL_{setting.upper()}_PASSWORD_FILE names"
        )
    return address


def _address(
    setting: str, given: SecretStr | None, password_file: Path | None, schemes: frozenset[str]
) -> Address | None:
    if given is None or not given.get_secret_value():
        return None
    variable = f"HANDRAIL_{setting.upper()}"
    expected = " or ".join(f"{scheme}://user@host/…" for scheme in sorted(schemes))
    parts = taken_apart(given.get_secret_value().strip(), variable, expected)
    try:
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:  # its words would repeat what stands there, which may be a password
        raise InputInvalid(f"{variable} is no address: its port is no number; write it as {expected}") from None
    if parts.scheme not in schemes or not parts.hostname:
        raise InputInvalid(f"{variable} is no address of this kind: write it as {expected}")
    if password_file is not None:
        if parts.password:
            raise InputInvalid(f"{variable} holds a password, and {variable}_PASSWORD_FILE names one: leave one out")
        parts = _with_password(parts, _password(password_file, variable))
    return Address(urlunsplit(parts), without_password(parts))


def _with_password(parts: SplitResult, password: str) -> SplitResult:
    _, _, place = parts.netloc.rpartition("@")
    user = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}")


def _password(path: Path, variable: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_PASSWORD_BYTES + 1)
        password = content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise InputInvalid(f"{variable}_PASSWORD_FILE {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputInvalid(f"{variable}_PASSWORD_FILE {path} is not UTF-8 text") from error
    if not password or len(content) > MOST_PASSWORD_BYTES:
        raise InputInvalid(f"{variable}_PASSWORD_FILE {path} is empty, or larger than {MOST_PASSWORD_BYTES} bytes")
    return password
