"""`handrail serve`: roles of a deployment over a shared store and a broker."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.cli.options import RUN, Modules, help_text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "serve",
        rich_help_panel=RUN,
        help=help_text(
            "Serve one or more roles over the store and the broker that HANDRAIL_STORE and HANDRAIL_BROKER name.\n\n"
            "Roles: goals, approvals, signals, control, outcomes take messages in; activities runs steps; relay, timer "
            "and projector follow the store (of each one process is active, the others stand by); http is the approval "
            "endpoint; all is all of them. A database that is away at the start is waited for: /readyz says so. "
            "SIGTERM drains: what is under way has the grace of HANDRAIL_GRACE_SECONDS.",
            "handrail serve all --module my.workflows --port 8080",
            "handrail serve activities --module my.workflows --queues mail,ledger --concurrency 50",
            "handrail serve relay timer projector --module my.workflows --port 9101",
        ),
    )(serve)


def serve(
    roles: Annotated[list[str], typer.Argument(metavar="ROLE…", help="What to serve; several, or all.")],
    queues: Annotated[
        str | None,
        typer.Option("--queues", metavar="A,B", help="Queues of activities; by default all that loaded ones declare."),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", metavar="N", min=1, max=60_000, help="Attempts under way here at most."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="P",
            min=0,
            max=65_535,
            help="Where /healthz, /readyz, /metrics and the role http answer; 0: any free. Without it, nowhere.",
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="H", help="Address to listen on.")] = "127.0.0.1",
    module: Modules = None,
) -> int:
    """Serve roles until asked to end."""
    import logging

    from deploy import faults, process
    from deploy.cli.exits import ExitCode
    from deploy.cli.place import modules_of
    from deploy.heartbeat import HEARTBEAT_DEFINITION
    from deploy.loading import load
    from deploy.misspelt import misspelt
    from deploy.runtime import utc_now
    from deploy.serving.logs import log_to_stream
    from deploy.serving.process import chosen
    from deploy.serving.service import serve as served
    from deploy.settings import load_settings
    from domain.errors import InputInvalid

    names = chosen(roles)
    wanted = [name.strip() for name in (queues or "").split(",") if name.strip()]
    if queues is not None and not wanted:
        raise InputInvalid("--queues names none: leave it out for all that loaded activities declare")
    if "activities" not in names and (queues is not None or concurrency is not None):
        raise InputInvalid("--queues and --concurrency are for the role activities: add it, or leave them out")
    if "http" in roles and port is None:
        raise InputInvalid("--port P says where the role http answers (0: any free port): add it, or leave http out")
    settings = load_settings()
    log_to_stream(settings.log_level)
    for words in misspelt():
        logging.getLogger("handrail.deploy").warning("%s", words)
    definitions = load(modules_of(module or []))
    definitions.add(HEARTBEAT_DEFINITION)
    faults.arm_from_environment()

    async def work() -> int:
        await served(
            settings, definitions, utc_now, names, queues=wanted, concurrency=concurrency, host=host, port=port
        )
        return ExitCode.COMPLETED

    return process.run(work())
