"""A person's act on a workflow: hand it in, say what was refused, and drive the workflow on."""

from __future__ import annotations

from collections.abc import Callable

from deploy.cli.exits import ExitCode
from deploy.cli.lines import one_line
from deploy.cli.screen import complain
from deploy.cli.session import Session
from domain import events as e
from domain.errors import not_loaded
from domain.ports import Decided
from domain.state import State
from domain.triggers import Trigger


def act(
    workflow_id: str,
    trigger_for: Callable[[State], Trigger],
    *,
    by: str,
    home: str | None,
    module: list[str] | None,
    as_json: bool,
    detach: bool = False,
) -> int:
    """Hand in the trigger that fits the workflow's state, and go on from there; the exit code.

    With `detach` nothing is driven: the act is saved, and another process, or `handrail resume`, goes on.
    """
    session = Session(home, module, as_json=as_json)
    session.must_exist()

    before = session.standing(workflow_id)
    if not session.shared:
        _check_loaded(session, before)

    async def work() -> ExitCode:
        async with session.runtime([workflow_id], drive=not detach) as runtime:
            state = runtime.store.load(workflow_id)
            trigger = trigger_for(state)
            decided = await runtime.decide(workflow_id, trigger, actor=by, cause=f"cli:{trigger_name(trigger)}")
            if tell_refusal(decided):
                return ExitCode.REFUSED
            if decided.ignored is not None:
                session.screen.note(f"nothing to do: {decided.ignored}")
            if detach:
                verb = "unpause" if decided.state.paused else "resume"
                session.screen.note(f"saved; `{session.place.command(verb, workflow_id)}` goes on")
                return session.leave(state, decided.events, decided.state)
            return await session.drive(runtime, before)

    return session.run(work())


def _check_loaded(session: Session, state: State) -> None:
    """Refuse an act that needs a definition which is not loaded, before anything runs: the workflow would lack it, too.

    Raises DefinitionMissing.
    """
    from deploy.cli.replaying import loaded

    if state.ended is None and loaded(session).find(state.definition, state.definition_version) is None:
        raise not_loaded(state.definition, state.definition_version)


def trigger_name(trigger: Trigger) -> str:
    """The trigger's type, as it stands in the record."""
    return str(getattr(trigger, "type", type(trigger).__name__))


def tell_refusal(decided: Decided) -> bool:
    """Say what was refused, if anything was; whether it was."""
    event = refused_in(decided)
    if event is None:
        return False
    about = f" of {event.approval_id}" if event.approval_id else ""
    name = decided.request.workflow_id
    complain(
        one_line(
            f"{event.decision}{about} by {event.decided_by} was refused and recorded: {event.reason}; "
            f"see `handrail show {name}`",
            1_000,
        )
    )
    return True


def refused_in(decided: Decided) -> e.DecisionRefused | None:
    """What was refused of a person's act, if anything was."""
    for recorded in decided.events:
        if isinstance(recorded.event, e.DecisionRefused):
            return recorded.event
    return None
