"""`handrail token`: who may use the HTTP endpoint, and for what."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.cli.options import KEEP, AsJson, Home, help_text
from deploy.roles import Role

tokens = typer.Typer(help="Tokens of the HTTP endpoint: new, list, revoke.", rich_markup_mode="rich")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(tokens, name="token", rich_help_panel=KEEP)


@tokens.command(
    "new",
    help=help_text(
        "Make a token and print it, once: only its hash is kept. Its name is who decides, whatever a request says.",
        "handrail token new --name alice --role approver --expires 90d",
        "handrail token new --name shop --role requester",
        "handrail token new --name olga --role operator --role approver",
    ),
)
def new(
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Who its bearer is, as it will stand in the history.")
    ],
    role: Annotated[
        list[Role], typer.Option("--role", help="What it allows; repeatable. Every role may look at workflows.")
    ],
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="For how long: 90d, 12h, 30m. By default, for good.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> int:
    """Make a token."""
    from deploy.cli.exits import ExitCode
    from deploy.cli.given import login_name, read_duration, read_name
    from deploy.cli.screen import Screen
    from deploy.cli.stores import open_any_store
    from deploy.tokens import check_new, create_token

    who, lifetime = read_name(name, "--name"), None if expires is None else read_duration(expires, "--expires")
    check_new(who, role, lifetime)
    screen = Screen(as_json=as_json)
    with open_any_store(home, create=True) as store:
        text, row = create_token(store, name=who, roles=role, created_by=login_name(), expires_in=lifetime)
    if as_json:
        screen.document({"secret": text, **row.as_dict()})
        return ExitCode.COMPLETED
    screen.text(text)
    until = "until it is revoked" if row.expires_at is None else f"until {row.expires_at:%Y-%m-%d %H:%M} UTC"
    screen.note(f"token {row.token_id} of {row.name} ({', '.join(row.roles)}), {until}; it is not shown again")
    return ExitCode.COMPLETED


@tokens.command("list", help=help_text("List the tokens, the newest first; none is shown.", "handrail token list"))
def list_all(home: Home = None, as_json: AsJson = False) -> int:
    """List tokens."""
    from deploy.cli.exits import ExitCode
    from deploy.cli.screen import Screen
    from deploy.cli.stores import open_any_store
    from deploy.tokens import list_tokens

    screen = Screen(as_json=as_json)
    with open_any_store(home) as store:
        rows = list_tokens(store)
    if as_json:
        screen.document([row.as_dict() for row in rows])
        return ExitCode.COMPLETED
    if rows:
        screen.text(f"{'TOKEN':<8}  {'STATE':<7}  {'MADE':<10}  {'EXPIRES':<10}  {'ROLES':<24}  NAME")
    for row in rows:
        expires = "never" if row.expires_at is None else f"{row.expires_at:%Y-%m-%d}"
        roles = ",".join(row.roles)
        screen.text(
            f"{row.token_id:<8}  {row.state:<7}  {row.created_at:%Y-%m-%d}  {expires:<10}  {roles:<24}  {row.name}"
        )
    return ExitCode.COMPLETED


@tokens.command(
    "revoke",
    help=help_text(
        "Revoke a token, or all tokens of a name: at once, and for good.",
        "handrail token revoke k3v7q2ab",
        "handrail token revoke --name alice",
    ),
)
def revoke(
    token_id: Annotated[
        str | None, typer.Argument(metavar="TOKEN", help="The token's id, as `token list` shows it.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="All tokens of this name.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> int:
    """Revoke tokens."""
    from deploy.cli.exits import ExitCode
    from deploy.cli.given import login_name
    from deploy.cli.screen import Screen
    from deploy.cli.stores import open_any_store
    from deploy.tokens import revoke_tokens
    from domain.errors import InputInvalid

    if (token_id is None) == (name is None):
        raise InputInvalid("say which: `handrail token revoke TOKEN`, or --name NAME for all of a name")
    # Whoever has only the whole token at hand may give that: its id stands in it.
    which = token_id.split("_")[1] if token_id is not None and token_id.count("_") > 1 else token_id
    screen = Screen(as_json=as_json)
    with open_any_store(home) as store:
        revoked = revoke_tokens(store, revoked_by=login_name(), token_id=which, name=name)
    if as_json:
        screen.document([row.as_dict() for row in revoked])
        return ExitCode.COMPLETED
    for row in revoked:
        screen.note(f"token {row.token_id} of {row.name} is revoked")
    if not revoked:
        screen.note("revoked before: nothing changed")
    return ExitCode.COMPLETED
