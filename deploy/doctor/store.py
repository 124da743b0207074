"""What is said about a PostgreSQL store: judgements on what its server is like, without asking anything themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from consumers.held_messages import HELD_FOR, held_by_definition
from deploy.doctor.findings import Finding, Level
from deploy.doctor.place import clock, offset_of
from deploy.migrations import MIGRATIONS
from domain.errors import StoreUnavailable
from domain.store.connection_postgres import About, StoreServer, check_server
from domain.store.inspection_postgres import ServerFacts, inspect_server
from domain.store.migrations_postgres import migrate
from producers.parked import LET_GO

LEADING: Final = ("relay", "timer", "projector")
FEW_CONNECTIONS: Final = 0.9
HELD_SINCE: Final = 2
"""The migration from which on messages are held."""
_SOUND: Final = About(1_000_000, "UTF8", "on", "on", "on", "off")


def server(url: str) -> Iterator[Finding]:
    """All about the server."""
    facts = inspect_server(url, LEADING)
    settings = facts.settings
    yield Finding("store", Level.OK, f"{facts.place}: PostgreSQL {settings['server_version']}")
    yield from safe(facts)
    yield from patient(facts)
    yield replicated(facts)
    yield clock("store", "the store", offset_of(facts.clock, facts.began))
    used, most = facts.connections, int(settings["max_connections"])
    if used > FEW_CONNECTIONS * most:
        words = f"{used} of {most} connections are taken: raise max_connections, or run fewer processes"
        yield Finding("store", Level.WARN, words)
    for role in LEADING:
        leader = facts.leaders.get(role)
        if leader is None:
            words = f"nobody leads the {role}: run `handrail serve {role}` (or `handrail serve all`) somewhere"
            yield Finding("leaders", Level.WARN, words)
        else:
            yield Finding("leaders", Level.OK, f"{role}: {leader}")


def migrated(url: str) -> Iterator[Finding]:
    """Whether the tables are those of this version."""
    missing = migrate(url, MIGRATIONS, dry_run=True)
    for half in missing:
        words = f"migration {half.migration.number} ({half.migration.name}) was not run: `handrail migrate`"
        yield Finding("store", Level.MEND, words)
    if missing:
        return
    left = migrate(url, MIGRATIONS, after=True, dry_run=True)
    yield Finding("store", Level.OK, f"migrated up to {MIGRATIONS[-1].number}")
    for half in left:
        words = (
            f"migration {half.migration.number} has more to take away: `handrail migrate --after`, when no process of "
            "the version before runs any more"
        )
        yield Finding("store", Level.NOTE, words)


def told(url: str) -> Iterator[Finding]:
    """Whether listeners miss announcements."""
    with closing(StoreServer(url)) as server:
        rows = server.ask(f"SELECT position FROM positions WHERE name = '{LET_GO}'").rows  # noqa: S608 - a constant
    if rows:
        words = (
            f"announcements let go since the beginning, because a listener's queue stayed full for an hour: "
            f"{rows[0][0]}; the relay's log says when, and under which keys"
        )
        yield Finding("listeners", Level.NOTE, words)


def held(url: str) -> Iterator[Finding]:
    """What waits for a process that has its definition."""
    if any(half.migration.number == HELD_SINCE for half in migrate(url, MIGRATIONS, dry_run=True)):
        return
    with closing(StoreServer(url)) as server:
        found = held_by_definition(lambda statement: server.ask(statement).rows)
    for definition, count, since in found:
        name, _, version = definition.rpartition(" ")
        words = (
            f"{f'{count} messages wait' if count > 1 else '1 message waits'} for a process that has definition "
            f"{name!r} version {version!r}, the oldest for {max(0.0, time.time() - since) / 3_600:.1f} hours: serve "
            f"its module with the roles approvals, control and outcomes; after {HELD_FOR.total_seconds() / 3_600:g} "
            "hours they go to their dead queues"
        )
        yield Finding("held", Level.WARN, words)


def safe(facts: ServerFacts) -> Iterator[Finding]:
    """Each setting by itself, so that one that is wrong does not hide the next."""
    about = facts.about
    unsafe = False
    for name in About._fields:
        try:
            check_server(_SOUND._replace(**{name: getattr(about, name)}), facts.place)
        except StoreUnavailable as error:
            unsafe = True
            yield Finding("store", Level.MEND, str(error))
    if not unsafe:
        words = f"fsync and full_page_writes are on, synchronous_commit is {about.synchronous_commit}, text is UTF-8"
        yield Finding("store", Level.OK, words)


def patient(facts: ServerFacts) -> Iterator[Finding]:
    """Time-outs: set by each of our connections, unless something in between drops what they ask for."""
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    endless = [name for name in names if facts.settings[name] in {"0", "0ms"}]
    if endless:
        words = (
            f"{', '.join(endless)} do not hold for our connections: a pooler in between drops them; connect to the "
            "server itself (advisory locks need that too)"
        )
        yield Finding("store", Level.MEND, words)
        return
    yield Finding("store", Level.OK, ", ".join(f"{name} {facts.settings[name]}" for name in names))


def replicated(facts: ServerFacts) -> Finding:
    """Whether what was acknowledged survives the server."""
    wanted = facts.settings["synchronous_standby_names"].strip()
    synchronous = [one for one in facts.standbys if one.sync in {"sync", "quorum"}]
    if not wanted:
        words = (
            "no synchronous standby: a failover may lose work that was acknowledged; set "
            "synchronous_standby_names = 'ANY 1 (NAME, NAME)' on the server, or run `handrail restore` after a failover"
        )
        return Finding("store", Level.WARN, words)
    if synchronous:
        words = f"{len(synchronous)} synchronous standbys: {', '.join(sorted(one.name for one in synchronous))}"
        return Finding("store", Level.OK, words)
    if any(not one.sync for one in facts.standbys):
        words = "whether standbys are synchronous is not shown to this login: GRANT pg_monitor TO it"
        return Finding("store", Level.NOTE, words)
    words = (
        f"synchronous_standby_names is {wanted!r}, and no such standby is connected: commits wait for it; start the "
        "standby, or take its name out"
    )
    return Finding("store", Level.MEND, words)
