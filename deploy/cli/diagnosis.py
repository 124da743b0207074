"""What `handrail doctor` looks at here, by what the settings name, and how it tells what it found."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

from deploy.addresses import Address, broker_address, management_address, needed, store_address
from deploy.cli.exits import ExitCode
from deploy.cli.place import folder_of, is_shared, modules_of
from deploy.cli.screen import Screen
from deploy.doctor import broker, place, store
from deploy.doctor.findings import Check, Finding, Level, examine
from deploy.doctor.seals import seals
from deploy.loading import LoadedDefinitions, load
from deploy.management import Management
from deploy.opened import DATABASE_FILE, open_store
from deploy.sealing import SEALED_ROW, Sealed, read_sealed, schedule_of
from deploy.settings import Settings, load_settings
from deploy.thresholds import unknown_names
from domain.broker_address import BrokerAddress
from domain.errors import BrokerError, HandrailError
from domain.store.connection_postgres import StoreServer
from domain.topology import DEFAULT_ACTIVITY_QUEUE, topology_of

MANAGEMENT_SECONDS: Final = 5.0
_CODES: Final = {Level.MEND: ExitCode.REFUSED, Level.WARN: ExitCode.ENDED}

Found = TypeVar("Found")


async def diagnose(home: str | None, modules: Sequence[str], screen: Screen, *, seconds: float) -> ExitCode:
    """Look at everything, and say it; the exit code is that of the worst. Raises InputInvalid."""
    settings = load_settings()
    found = await examine(checks_of(settings, home, modules), seconds=seconds)
    if screen.as_json:
        screen.document([asdict(finding) for finding in found])
    else:
        for finding in found:
            screen.text(str(finding))
    levels = {finding.level for finding in found}
    return next((code for level, code in _CODES.items() if level in levels), ExitCode.COMPLETED)


def checks_of(settings: Settings, home: str | None, modules: Sequence[str]) -> dict[str, Check]:
    """What there is to look at."""
    checks: dict[str, Check] = {"program": place.program, "secrets": lambda: place.settings_of(settings)}
    checks["settings: stuck"] = lambda: _thresholds(settings, modules)
    if is_shared(home):
        url = needed(store_address(settings), "store").url
        checks["store"] = lambda: store.server(url)
        checks["store: migrations"] = lambda: store.migrated(url)
        checks["store: held messages"] = lambda: store.held(url)
        checks["store: announcements"] = lambda: store.told(url)
        sealed = lambda: _sealed_in_server(url)  # noqa: E731 - one of two
    else:
        folder = folder_of(home)
        checks["home"] = lambda: place.home(folder)
        sealed = lambda: _sealed_in_home(folder)  # noqa: E731 - the other
    schedule = schedule_of(settings.seal)
    if schedule is not None:
        checks["seals"] = lambda: seals(schedule, sealed)
    address = broker_address(settings)
    if address is None:
        if is_shared(home):
            checks["broker"] = _no_broker
        return checks
    wanted, trouble = _wanted(modules)
    if trouble is not None:
        checks["modules"] = lambda: [trouble]
    checks["rights: answering"] = lambda: broker.answering(settings.answering, wanted.foreign)
    return {**checks, **_broker_checks(settings, address, wanted)}


def _sealed_in_server(url: str) -> Sealed | None:
    with contextlib.closing(StoreServer(url)) as server:
        return read_sealed(server.ask(SEALED_ROW).rows)


def _sealed_in_home(folder: Path) -> Sealed | None:
    if not (folder / DATABASE_FILE).is_file():
        return None
    with contextlib.closing(open_store(folder, LoadedDefinitions(), read_only=True)) as opened:
        return read_sealed(opened.query(SEALED_ROW))


def _thresholds(settings: Settings, modules: Sequence[str]) -> Iterator[Finding]:
    """Names that thresholds are set for and that nothing has; nothing where no module is named to know them by."""
    names = modules_of(modules)
    if not names:
        return
    with contextlib.suppress(HandrailError):  # the finding on modules says it
        for words in unknown_names(settings.stuck, load(names)):
            yield Finding("settings", Level.WARN, words)


def _broker_checks(settings: Settings, address: Address, wanted: broker.Wanted) -> dict[str, Check]:
    vhost = unquote(urlsplit(address.url).path.removeprefix("/")) or "/"
    login = BrokerAddress.read(address.url).login
    managed = management_address(settings)

    def ask(question: Callable[[Management], Found]) -> Found:
        with Management(needed(managed, "broker_management"), timeout_seconds=MANAGEMENT_SECONDS) as management:
            return question(management)

    def queues() -> Iterator[Finding]:
        known = {}
        if managed is not None:
            try:
                known = ask(lambda management: broker.known_queues(management, vhost, wanted))
            except BrokerError:
                known = {}  # the checks of the management interface say it
        yield from broker.over_amqp(address.url, wanted, known, settings.vouching)

    checks: dict[str, Check] = {"broker": queues}
    if managed is None:
        checks["broker: management"] = _no_management
        return checks
    return {
        **checks,
        "broker: nodes": lambda: ask(lambda management: list(broker.nodes(management))),
        "topology": lambda: ask(lambda management: list(broker.topology(management, vhost, wanted))),
        "rights": lambda: ask(lambda management: list(broker.rights(management, vhost, login, wanted))),
        "broker: listeners": lambda: ask(lambda management: list(broker.listening(management, vhost))),
        "broker: holding": lambda: ask(
            lambda management: list(broker.holding(management, vhost, settings.longest_hold_seconds))
        ),
    }


def _wanted(modules: Sequence[str]) -> tuple[broker.Wanted, Finding | None]:
    """What the modules need; those that cannot be loaded are a finding, and the others go on."""
    trouble = None
    try:
        loaded = load(modules_of(modules))
    except HandrailError as error:
        loaded, trouble = LoadedDefinitions(), Finding("modules", Level.MEND, str(error))
    declared = [one for definition in loaded for one in definition.activities.values()]
    topology = topology_of({DEFAULT_ACTIVITY_QUEUE, *(one.queue for one in declared)})
    return broker.Wanted(topology, frozenset(one.queue for one in declared if one.foreign)), trouble


def _no_broker() -> list[Finding]:
    return [Finding("broker", Level.MEND, "HANDRAIL_BROKER is not set: a shared store is served over RabbitMQ")]


def _no_management() -> list[Finding]:
    words = (
        "HANDRAIL_BROKER_MANAGEMENT is not set: rights, bindings, policies, alarms and the broker's clock are not asked"
    )
    return [Finding("broker", Level.NOTE, words)]
