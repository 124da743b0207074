"""`handrail topology`: what must exist on RabbitMQ: printed, declared by an administrator, compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.options import KEEP, AsJson, Modules, help_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.credentials import Credential
    from deploy.management import Management
    from domain.topology import Topology

topology = typer.Typer(
    help="Exchanges, queues, users and rights on RabbitMQ: render, apply, check.", rich_markup_mode="rich"
)

VirtualHost = Annotated[
    str | None,
    typer.Option("--vhost", metavar="VHOST", help="The virtual host; by default that of HANDRAIL_BROKER, or handrail."),
]
Credentials = Annotated[
    Path | None,
    typer.Option(
        "--credentials",
        metavar="FILE",
        help="TOML or JSON: users, their roles and files of their passwords; deploy/docs/services.md has one.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(topology, name="topology", rich_help_panel=KEEP)


@topology.command(
    "render",
    help=help_text(
        "Print RabbitMQ's definitions: exchanges, queues, bindings, users and rights, and no credentials.",
        "handrail topology render --module my.workflows > definitions.json",
    ),
)
def render(module: Modules = None, vhost: VirtualHost = None) -> int:
    """Print the definitions."""
    from deploy.broker_definitions import broker_definitions, definitions_text
    from deploy.cli.exits import ExitCode
    from deploy.cli.screen import Screen
    from domain.rights import default_users

    wanted, foreign = _wanted(module)
    definitions = broker_definitions(wanted, default_users(foreign), _vhost(vhost))
    Screen().text(definitions_text(definitions).rstrip("\n"))
    return ExitCode.COMPLETED


@topology.command(
    "apply",
    help=help_text(
        "Declare what is missing, as the administrator of HANDRAIL_BROKER_MANAGEMENT; a second time changes nothing.",
        "handrail topology apply --module my.workflows",
        "handrail topology apply --credentials broker-users.toml",
    ),
)
def apply(
    credentials: Credentials = None, module: Modules = None, vhost: VirtualHost = None, as_json: AsJson = False
) -> int:
    """Declare what is missing."""
    from deploy.cli.exits import ExitCode
    from deploy.cli.screen import Screen
    from deploy.declaring import Declared

    screen = Screen(as_json=as_json)
    _, foreign = _wanted(module)
    users = _credentials(credentials, foreign)
    wanted, _ = _wanted(module, users)
    with _management() as management:
        for line in Declared(management, _vhost(vhost)).apply(wanted, users):
            if as_json:
                screen.value({"line": line})
            else:
                screen.text(line)
    return ExitCode.COMPLETED


@topology.command(
    "check",
    help=help_text(
        "Say what is missing or different on the broker. Exit code 0: nothing; 2: something.",
        "handrail topology check --module my.workflows --credentials broker-users.toml",
    ),
)
def check(
    credentials: Credentials = None, module: Modules = None, vhost: VirtualHost = None, as_json: AsJson = False
) -> int:
    """Compare."""
    from deploy.cli.exits import ExitCode
    from deploy.cli.screen import Screen
    from deploy.declaring import Declared

    screen = Screen(as_json=as_json)
    _, foreign = _wanted(module)
    users = _credentials(credentials, foreign)
    wanted, _ = _wanted(module, users)
    where = _vhost(vhost)
    with _management() as management:
        looked_at = [one.user for one in users] if credentials is not None else None
        found = Declared(management, where).check(wanted, looked_at)
        version = management.version()
    if as_json:
        screen.document([{"what": one.what, "matter": one.matter, "remedy": one.remedy} for one in found])
    else:
        for one in found:
            screen.text(str(one))
        if not found:
            screen.note(f"virtual host {where!r} on RabbitMQ {version}: all is as it must be")
    return ExitCode.REFUSED if found else ExitCode.COMPLETED


def _wanted(module: list[str] | None, users: Sequence[Credential] = ()) -> tuple[Topology, set[str]]:
    """The topology that the modules' definitions and the listeners need; the queues of consumers elsewhere."""
    from deploy.cli.place import modules_of
    from deploy.loading import load
    from domain.topology import DEFAULT_ACTIVITY_QUEUE, topology_of

    loaded = load(modules_of(module or []))
    declared = [one for definition in loaded for one in definition.activities.values()]
    queues = {DEFAULT_ACTIVITY_QUEUE, *(one.queue for one in declared)}
    listeners = [one.listener for one in users if one.listener is not None]
    return topology_of(queues, listeners), {one.queue for one in declared if one.foreign}


def _credentials(path: Path | None, foreign: set[str]) -> list[Credential]:
    from deploy.credentials import read_credentials

    return [] if path is None else read_credentials(path, foreign)


def _management() -> Management:
    from deploy.addresses import management_address, needed
    from deploy.management import Management
    from deploy.settings import load_settings

    return Management(needed(management_address(load_settings()), "broker_management"))


def _vhost(option: str | None) -> str:
    """The virtual host that was named, or that of the broker's address: one without a path means `/`."""
    from urllib.parse import unquote, urlsplit

    from deploy.addresses import broker_address
    from deploy.broker_definitions import DEFAULT_VHOST
    from deploy.settings import load_settings
    from domain.errors import InputInvalid

    if option is not None:
        if not option:
            raise InputInvalid("--vhost is empty: name the virtual host, / for the one that RabbitMQ makes itself")
        return option
    address = broker_address(load_settings())
    if address is None:
        return DEFAULT_VHOST
    return unquote(urlsplit(address.url).path.removeprefix("/")) or "/"
