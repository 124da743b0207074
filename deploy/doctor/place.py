"""What is looked at on this machine: versions, settings, secrets, and a home with its store."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deploy.addresses import broker_address, management_address, operator_address, store_address
from deploy.doctor.findings import Finding, Level
from deploy.lock import LOCK_FILE, holder_of
from deploy.misspelt import misspelt
from deploy.opened import DATABASE_FILE
from deploy.settings import Settings, settings_file
from deploy.version import version_of
from domain.store.inspection_sqlite import inspect_file

EVENTSOURCING: Final = ((9, 5, 6), (9, 6))
"""From this version on, and below that: what `pyproject.toml` pins, since the store uses what the library hides."""
LEAST_FREE_BYTES: Final = 1_000_000_000
LARGE_LOG_BYTES: Final = 256 * 1024 * 1024

_DB_FUNCTIONS: Final = "POSTGRES_ENABLE_DB_FUNCTIONS"


def program() -> Iterator[Finding]:
    """Versions."""
    library = version_of("eventsourcing")
    words = (
        f"Handrail {version_of()}, Python {platform.python_version()}, eventsourcing {library}, "
        f"aio-pika {version_of('aio-pika')}, psycopg {version_of('psycopg')}"
    )
    yield Finding("program", Level.OK, words)
    least, below = EVENTSOURCING
    if not least <= _numbers(library) < below:
        wanted = f"{'.'.join(map(str, least))} or newer, below {'.'.join(map(str, below))}"
        yield Finding(
            "program", Level.MEND, f"eventsourcing {library} was never tried: install {wanted}, as Handrail asks for"
        )
    if os.environ.get(_DB_FUNCTIONS, "n").lower() not in {"", "n", "no", "f", "false", "off", "0"}:
        words = f"{_DB_FUNCTIONS} is set: it would let followers skip events, and stores refuse to open: unset it"
        yield Finding("program", Level.MEND, words)


def settings_of(settings: Settings) -> Iterator[Finding]:
    """Settings with a slip in their names; where passwords are kept, and how they travel."""
    for words in misspelt():
        yield Finding("settings", Level.WARN, words)
    files = {
        "HANDRAIL_STORE_PASSWORD_FILE": settings.store_password_file,
        "HANDRAIL_BROKER_PASSWORD_FILE": settings.broker_password_file,
        "HANDRAIL_BROKER_OPERATOR_PASSWORD_FILE": settings.broker_operator_password_file,
        "HANDRAIL_BROKER_MANAGEMENT_PASSWORD_FILE": settings.broker_management_password_file,
    }
    looked_at = 0
    given = [("settings", settings_file()), *((name, path) for name, path in files.items() if path is not None)]
    for name, path in given:
        if not path.is_file():
            continue
        looked_at += 1
        mode = stat.S_IMODE(path.stat().st_mode)
        holds_secret = name != "settings" or b"assword" in path.read_bytes() or b"://" in path.read_bytes()
        if mode & stat.S_IROTH and holds_secret:
            yield Finding(
                "secrets", Level.MEND, f"everybody on this machine may read {path} ({name}): chmod o-rwx {path}"
            )
            looked_at = 0
    if looked_at:
        yield Finding("secrets", Level.OK, f"{looked_at} files, and not everybody may read them")
    for address in (
        store_address(settings), broker_address(settings), operator_address(settings), management_address(settings)
    ):  # fmt: skip
        if address is not None and (words := _in_the_clear(address.url)):
            yield Finding("secrets", Level.WARN, f"{address}: {words}")


def home(folder: Path) -> Iterator[Finding]:
    """A home: its store, the room it has, who holds it."""
    database = folder / DATABASE_FILE
    if not database.is_file():
        yield Finding("home", Level.NOTE, f"{folder} holds no store yet: `handrail run` makes one")
        return
    facts = inspect_file(database)
    if facts.damage:
        yield Finding(
            "home",
            Level.MEND,
            f"{database} is damaged ({'; '.join(facts.damage[:3])}): stop every process, and put the last backup back",
        )
    elif not facts.complete:
        yield Finding("home", Level.NOTE, f"{database} is too large to be read through here; nothing wrong was found")
    else:
        yield Finding("home", Level.OK, f"{database}: {facts.bytes:,} bytes, store version {facts.version}, sound")
    if facts.imported is not None:
        words = f"{database} was imported from {facts.imported.file}, and is never changed"
        yield Finding("home", Level.OK, words)
    elif facts.journal != "wal":
        yield Finding(
            "home", Level.WARN, f"{database} is in journal mode {facts.journal}: run a workflow, which sets wal"
        )
    log = Path(f"{database}-wal")
    if log.is_file() and log.stat().st_size > LARGE_LOG_BYTES:
        yield Finding(
            "home",
            Level.WARN,
            f"{log} has {log.stat().st_size:,} bytes: something reads for very long; end that, and it shrinks",
        )
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        yield Finding("home", Level.WARN, f"{free:,} bytes are free under {folder}: make room")
    else:
        yield Finding("home", Level.OK, f"{free:,} bytes are free under {folder}")
    yield _holder(folder)


def _holder(folder: Path) -> Finding:
    holder = holder_of(folder)
    if holder is None or not (folder / LOCK_FILE).exists():
        return Finding("home", Level.OK, "no process has held it yet")
    alive = Path(f"/proc/{holder}").exists()
    return Finding(
        "home", Level.OK, f"process {holder} {'holds it, or did last' if alive else 'held it last, and has ended'}"
    )


def offset_of(there: float, began: float) -> float:
    """Seconds by which another clock is ahead of this machine's, read between `began` and now."""
    return there - (began + time.time()) / 2


def clock(about: str, whose: str, offset: float, *, coarse: float = 0.0) -> Finding:
    """A finding on a clock that differs by so much; what is within `coarse` cannot be told apart."""
    apart = max(0.0, abs(offset) - coarse)
    if apart > MOST_APART_SECONDS:
        words = (
            f"the clock of {whose} is {offset:+.1f} s off this machine's: leases, deadlines and timers are off as "
            "much; have both follow NTP"
        )
        return Finding(about, Level.WARN if apart < BADLY_APART_SECONDS else Level.MEND, words)
    return Finding(
        about, Level.OK, f"the clock of {whose} is within {max(abs(offset), coarse, 0.1):.1f} s of this one's"
    )


MOST_APART_SECONDS: Final = 1.0
BADLY_APART_SECONDS: Final = 30.0


def _in_the_clear(url: str) -> str:
    """What is wrong with an address over which passwords travel as they are; nothing where none do."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        here = ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost" or host.startswith("/")
    if here or not parts.scheme:
        return ""
    if parts.scheme in {"amqp", "http"}:
        return f"what is said there is not encrypted: use {parts.scheme}s://"
    if parts.scheme.startswith("postgres") and not any(mode in url for mode in ("verify-full", "verify-ca")):
        return "the server's certificate is not checked: add sslmode=verify-full and sslrootcert=FILE"
    return ""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
