"""The file that says who may log in to the broker, with what password and in which role: TOML or JSON.

    [handrail-runtime]                      # a user that every deployment has: its role is known by its name
    password_file = "/run/secrets/runtime"

    [crm]
    role = "goal"                           # goal, approval, signal, worker, listener, operator, runtime, administrator
    password = "…"

    [desk]
    role = "approval"
    definitions = ["vendor onboarding review"]   # none: all
    certificate = true                      # no password: it logs in by a client certificate

A plain string instead of a table is the password. `signals` (role signal), `queue` (worker) and `announcements`
(listener: routing keys, as patterns) narrow a role. Neither this file nor one that it names may be readable by
everybody.
"""

from __future__ import annotations

import json
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from domain.errors import InputInvalid
from domain.rights import (
    Role,
    User,
    administrator,
    approval_service,
    default_users,
    foreign_worker,
    goal_service,
    listener,
    operator,
    runtime,
    signal_service,
)
from domain.topology import Listener

MOST_BYTES: Final = 1024 * 1024
MOST_PASSWORD_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class Credential:
    """A user, its rights, and its password: None where it logs in by certificate."""

    user: User
    password: str | None = field(repr=False)
    listener: Listener | None = None
    """What it is told of, where it is a listener."""


class _Entry(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    certificate: Literal[True] | None = None
    definitions: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    queue: str | None = None
    announcements: tuple[str, ...] = Field(default=())


# Which role each of these narrows.
_NARROWING: Final = {
    "definitions": Role.APPROVAL,
    "signals": Role.SIGNAL,
    "queue": Role.WORKER,
    "announcements": Role.LISTENER,
}


def read_credentials(path: Path, foreign_queues: Iterable[str] = ()) -> list[Credential]:
    """The users of the file, in its order. Raises InputInvalid, naming the user, and never a password."""
    known = {user.name: user for user in default_users(foreign_queues)}
    return [_credential(path, name, given, known) for name, given in _document(path).items()]


def _credential(path: Path, name: str, given: Any, known: Mapping[str, User]) -> Credential:
    place = f"{path}: user {name[:80]!r}"
    try:
        entry = _Entry.model_validate({"password": given} if isinstance(given, str) else given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field_name = ".".join(str(part) for part in first["loc"])
        raise InputInvalid(f"{place}: {f'{field_name}: ' if field_name else ''}{first['msg']}") from None
    if entry.role is None and name not in known:
        roles = ", ".join(role.value for role in Role)
        raise InputInvalid(f"{place}: is none that every deployment has: say its role ({roles})")
    role = entry.role or known[name].role
    for narrowing, of_role in _NARROWING.items():
        if narrowing in entry.model_fields_set and role is not of_role:
            raise InputInvalid(f"{place}: {narrowing} is for the role {of_role.value}, not {role.value}: leave it out")
    user, told = (known[name], None) if _is_default(entry, known.get(name)) else _in_role(place, name, role, entry)
    return Credential(user, _password(path, place, entry), told)


def _is_default(entry: _Entry, known: User | None) -> bool:
    return known is not None and entry.role in {None, known.role} and not (_NARROWING.keys() & entry.model_fields_set)


def _in_role(place: str, name: str, role: Role, entry: _Entry) -> tuple[User, Listener | None]:
    told: Listener | None = None
    match role:
        case Role.WORKER:
            if entry.queue is None:
                raise InputInvalid(f'{place}: a worker serves one queue: say which, queue = "…"')
            user = foreign_worker(name, entry.queue)
        case Role.LISTENER:
            user = listener(name)
            told = Listener(name, entry.announcements or ("#",))
        case Role.APPROVAL:
            user = approval_service(name, entry.definitions)
        case Role.SIGNAL:
            user = signal_service(name, entry.signals)
        case Role.GOAL:
            user = goal_service(name)
        case Role.OPERATOR:
            user = operator(name)
        case Role.RUNTIME:
            user = runtime(name)
        case Role.ADMINISTRATOR:
            user = administrator(name)
    return user, told


def _password(path: Path, place: str, entry: _Entry) -> str | None:
    given = [entry.password is not None, entry.password_file is not None, entry.certificate is not None]
    if sum(given) != 1:
        raise InputInvalid(f"{place}: give one of password, password_file and certificate = true")
    if entry.certificate:
        return None
    if entry.password_file is not None:
        file = path.parent / entry.password_file
        password = _text(file, MOST_PASSWORD_BYTES, place).removesuffix("\n").removesuffix("\r")
    else:
        password = entry.password.get_secret_value() if entry.password else ""
    if not password or len(password.encode()) > MOST_PASSWORD_BYTES:
        raise InputInvalid(f"{place}: the password is empty, or larger than {MOST_PASSWORD_BYTES} bytes")
    return password


def _document(path: Path) -> dict[str, Any]:
    text = _text(path, MOST_BYTES, "credentials")
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except json.JSONDecodeError as error:
        raise InputInvalid(f"{path} is no JSON: {error.msg} at line {error.lineno}") from None
    except tomllib.TOMLDecodeError as error:
        # Its message says where, and may quote one character at most.
        raise InputInvalid(f"{path} is no TOML: {error}") from None
    if not isinstance(document, dict):
        raise InputInvalid(f"{path} must hold a table for each user")
    return document


def _text(path: Path, most: int, place: str) -> str:
    """The content of a file that not everybody may read."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            content = file.read(most + 1)
    except OSError as error:
        raise InputInvalid(f"{place}: {path} cannot be read: {error.strerror}") from error
    if mode & stat.S_IROTH:
        raise InputInvalid(f"{place}: everybody on this machine may read {path}: chmod o-rwx {path}")
    if len(content) > most:
        raise InputInvalid(f"{place}: {path} is larger than {most} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InputInvalid(f"{place}: {path} is not UTF-8 text") from None
