"""A fork from the command line: says what it would do a second time, asks, takes it, and drives it on.

On a home the source is told and the fork begun by this process, before anything is driven: the source itself is not. On
a shared store the source is told by a message, and whoever serves begins the fork.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from deploy.cli.act import refused_in
from deploy.cli.exits import ExitCode
from deploy.cli.lines import one_line
from deploy.cli.many import agreed
from deploy.cli.person import at_terminal
from deploy.cli.replay_states import version_at
from deploy.cli.replaying import Reader, loaded
from deploy.cli.session import Session
from deploy.forking import whole_input
from domain.chain import GENESIS, digest_of
from domain.errors import InputInvalid, Refused, StoreError
from domain.events import ForkTaken
from domain.forking import Cut, cut_at
from domain.ids import receipt_id
from domain.replay import fold
from domain.state import State
from domain.triggers import ForkHere
from projections.forking import Forecast, Repeated, forecast

if TYPE_CHECKING:
    from domain.ports import Decided
    from domain.store.application import WorkflowStore

MOST_SHOWN: Final = 100
"""How many steps are listed at the terminal; `--json` has them all."""
FORMAT: Final = "handrail.fork.v1"
EFFECT_SECONDS: Final = 60.0
"""How long a fork that is recorded may take to begin before it is said that nobody begins it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command was given. `changes` are the keys of the input that are to be others, as read from `given`."""

    workflow_id: str
    at: str
    given: tuple[str, ...]
    changes: Mapping[str, Any]
    by: str
    reason: str
    yes: bool
    dry_run: bool
    another: bool
    detach: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done: where the cut is, the fork's input where it is another one, and what to know before."""

    cut: Cut
    source: State
    input: dict[str, Any] | None
    forecast: Forecast


def fork_it(session: Session, wanted: Wanted) -> int:
    """Fork, and drive the fork on; the exit code. Raises WorkflowUnknown, InputInvalid, DefinitionMissing, Refused."""
    session.must_exist()
    plan = _plan(session, wanted)
    if wanted.dry_run:
        _show(session, wanted, plan)
        return ExitCode.COMPLETED
    for line in _text(wanted, plan):
        session.screen.note(line)
    if not wanted.yes and not plan.forecast.harmless:
        if session.screen.as_json or not at_terminal():
            raise InputInvalid(f"nobody can be asked here whether that is wanted: `{_again(session, wanted)}` does it")
        if not agreed("fork it? [y/N] "):
            session.screen.note("nothing was done")
            return ExitCode.REFUSED

    async def work() -> ExitCode:
        fork = await (_send(session, wanted, plan) if session.shared else _take(session, wanted, plan))
        if wanted.detach:
            session.screen.note(f"saved; `{session.place.command('resume', fork)}` goes on")
            return _leave(session, fork)
        async with session.runtime([fork]) as runtime:
            return await session.drive(runtime, State(fork, head=GENESIS))

    return session.run(work())


# --- before it --------------------------------------------------------------------------------------------------------


def _plan(session: Session, wanted: Wanted) -> Plan:
    """Look where the cut is, and what there is to be known."""
    definitions = loaded(session)
    with session.store() as store:
        if store.imported is not None and not wanted.dry_run:
            raise store.imported.refusal(store.recorder.place)
        events = store.read(wanted.workflow_id, verified=True)
        cut = cut_at(events, version_at(events, wanted.at))
        with store.reading() as cursor:
            known = forecast(events, cut, Reader(store, cursor).family)
    state = cut.state
    if session.shared and definitions.find(state.definition, state.definition_version) is None:
        changed: dict[str, Any] | None = dict(wanted.changes) or None  # whoever serves has it, and looks at the input
    else:
        changed = whole_input(definitions, state, dict(wanted.changes))
    return Plan(cut, fold(events), changed, known)


def _show(session: Session, wanted: Wanted, plan: Plan) -> None:
    if not session.screen.as_json:
        for line in _text(wanted, plan):
            session.screen.text(line)
        return
    known = plan.forecast
    session.screen.document(
        {
            "format": FORMAT,
            "workflow": wanted.workflow_id,
            "at": plan.cut.version,
            "digest": plan.cut.digest,
            "status": str(plan.source.status),
            "input": plan.input,
            "repeated": [asdict(one) for one in known.repeated],
            "more": known.more,
            "gone": [asdict(one) for one in known.gone],
            "kept": known.kept,
            "forks": plan.source.forks,
        }
    )


def _text(wanted: Wanted, plan: Plan) -> Iterator[str]:
    known, source = plan.forecast, plan.source
    yield f"fork of {wanted.workflow_id} after event {plan.cut.version} of {source.version}"
    if known.kept:
        yield f"  settled before it, and not run again: {one_line(', '.join(known.kept), 500)}"
    if known.repeated:
        yield "  would be done a second time, under other idempotency keys:"
    for one in known.repeated[:MOST_SHOWN]:
        yield f"    {_repeated(one, wanted.workflow_id)}"
    if len(known.repeated) > MOST_SHOWN or known.more:
        yield "    and more (--dry-run --json)"
    for gone in known.gone:
        then = f"; --at {gone.before} has it done again" if gone.before else ""
        yield f"  ! {gone.step} was undone by event {gone.version}: the fork takes it for done{then}"
    if plan.input is not None:
        keys = [key for key, value in plan.input.items() if source.input.get(key) != value]
        kept = "; what has settled had the old one" if known.kept else ""
        yield f"  another input for what is still to run: {one_line(', '.join(sorted(keys)), 300)}{kept}"
    if source.ended is None:
        yield f"  ! {wanted.workflow_id} is {source.status}, and goes on beside the fork: `handrail cancel` ends it"
    if known.harmless:
        yield "  nothing would be done a second time"


def _repeated(one: Repeated, source: str) -> str:
    where = "" if one.workflow == source else f"{one.workflow} "
    tries = ", ".join(f"attempt {tried.attempt} {tried.outcome} (event {tried.version})" for tried in one.attempts)
    parts = [tries or f"began {one.child}"]
    if one.undone:
        parts.append("undone since")
    if one.maybe:
        parts.append("only if it is planned again")
    flag = "! " if one.once and not one.undone else ""
    activity = "" if one.activity == one.step else f" {one.activity}"
    return one_line(f"{flag}{where}{one.step}{activity} [{one.effect}]: {'; '.join(parts)}", 500)


def _again(session: Session, wanted: Wanted) -> str:
    """The command that does it, to be typed as it is."""
    given = [word for one in wanted.given for word in ("--input", one)]
    why = ["--reason", wanted.reason] if wanted.reason else []
    how = ["--another"] * wanted.another + ["--detach"] * wanted.detach
    return session.place.command(
        "fork", wanted.workflow_id, "--at", wanted.at, *given, "--by", wanted.by, *why, *how, "--yes"
    )


# --- doing it ---------------------------------------------------------------------------------------------------------


async def _take(session: Session, wanted: Wanted, plan: Plan) -> str:
    """Tell the source and begin the fork, in this home; nothing is driven yet."""
    async with session.runtime((), drive=False) as runtime:
        return await runtime.fork(
            wanted.workflow_id,
            plan.cut.version,
            by=wanted.by,
            reason=wanted.reason,
            input=plan.input,
            salt=uuid.uuid4().hex if wanted.another else "",
        )


async def _send(session: Session, wanted: Wanted, plan: Plan) -> str:
    """Send the act to whoever serves, and wait until the fork has begun."""
    words = [wanted.workflow_id, plan.cut.version, plan.input, uuid.uuid4().hex if wanted.another else ""]
    message_id = f"cli-fork-{digest_of(words)[:40]}"
    async with session.remote() as remote:
        store, receipt = remote.store, receipt_id("control", remote.login, message_id)
        fork = await store.aside(lambda: _taken(store, wanted.workflow_id, receipt))
        if fork is None:
            asked = ForkHere(
                by=wanted.by, reason=wanted.reason or "no reason given", version=plan.cut.version, input=plan.input
            )
            decided = await remote.decide(wanted.workflow_id, asked, actor=wanted.by, message_id=message_id)
            _check(decided)
            fork = await store.aside(lambda: _taken(store, wanted.workflow_id, receipt))
        if fork is None:
            raise StoreError(f"workflow {wanted.workflow_id} does not say what was forked from it: run it again")
        try:
            async with asyncio.timeout(EFFECT_SECONDS):
                await anext(remote.follow(fork))
        except TimeoutError:
            raise StoreError(
                f"fork {fork} of workflow {wanted.workflow_id} is recorded, and nobody has begun it within "
                f"{EFFECT_SECONDS:g} s: `handrail doctor` says whether a relay runs; it begins as soon as one does"
            ) from None
    return fork


def _taken(store: WorkflowStore, workflow_id: str, receipt: str) -> str | None:
    """The fork that this message took, if it did."""
    events = (recorded for recorded in store.read(workflow_id) if recorded.cause == receipt)
    return next((recorded.event.fork for recorded in events if isinstance(recorded.event, ForkTaken)), None)


def _check(decided: Decided) -> None:
    refused = refused_in(decided)
    if refused is not None:
        raise Refused(f"workflow {decided.request.workflow_id} was not forked: {refused.reason}")


def _leave(session: Session, fork: str) -> ExitCode:
    """Print what there is of the fork, and leave the rest to another process."""
    with session.store() as store:
        events = store.read(fork)
    return session.leave(State(fork), events, fold(events))
