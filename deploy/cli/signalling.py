"""Sending a signal by hand, and driving on whoever took it."""

from __future__ import annotations

from typing import Any

from deploy.cli.exits import ExitCode
from deploy.cli.session import Session


def send(
    name: str,
    correlation: str,
    payload: Any,
    *,
    by: str,
    home: str | None,
    module: list[str] | None,
    detach: bool,
    as_json: bool,
) -> int:
    """Deliver a signal; where workflows took it, drive them on. The exit code is the first's that did not complete."""
    session = Session(home, module, as_json=as_json)
    if session.shared:
        return session.run(_send_to_shared(session, name, correlation, payload))

    async def work() -> ExitCode:
        async with session.runtime([], drive=not detach) as runtime:
            before = {one: runtime.store.load(one) for one in waiting_for(runtime, name, correlation)}
            reached = await runtime.signal(name, correlation, payload, sender=by)
            if not reached:
                session.screen.note(f"nobody waits for signal {name} {correlation} yet: it is kept for who will")
                if as_json:
                    session.screen.value({"kind": "signal", "name": name, "correlation": correlation, "taken_by": []})
                return ExitCode.COMPLETED
            if detach:
                session.screen.note(f"taken by {', '.join(reached)}; `{session.place.command('resume')}` goes on")
                return ExitCode.COMPLETED
            codes = []
            for one in reached:
                state = before.get(one) or runtime.store.load(one)
                codes.append(await session.drive(runtime, state))
            return next((code for code in codes if code is not ExitCode.COMPLETED), ExitCode.COMPLETED)

    return session.run(work())


async def _send_to_shared(session: Session, name: str, correlation: str, payload: Any) -> ExitCode:
    """Send a signal to a store that others serve: who waits for it is theirs to find out."""
    async with session.remote() as remote:
        await remote.signal(name, correlation, payload)
    session.screen.note(f"signal {name} {correlation} is in the store: whoever waits for it, now or later, gets it")
    if session.screen.as_json:
        session.screen.value({"kind": "signal", "name": name, "correlation": correlation})
    return ExitCode.COMPLETED


def waiting_for(runtime: Any, name: str, correlation: str) -> list[str]:
    """The workflows that wait for this signal now."""
    rows = runtime.store.query(
        "SELECT DISTINCT workflow_id FROM subscriptions WHERE name = ? AND correlation = ?", (name, correlation)
    )
    return [workflow_id for (workflow_id,) in rows]
