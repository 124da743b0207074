"""What `handrail dead` does: reads the dead queues, says what lies there, and has it acted upon."""

from __future__ import annotations

import base64
import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from deploy.addresses import management_address, needed, operator_address
from deploy.cli.exits import ExitCode
from deploy.cli.given import read_name, read_reason
from deploy.cli.lines import one_line
from deploy.cli.place import modules_of
from deploy.cli.screen import Screen
from deploy.dead_acts import Why, list_acts
from deploy.dead_letters import (
    HELD_SECONDS,
    DeadDesk,
    Done,
    Letter,
    Reading,
    Selection,
    as_dict,
    dead_queue_named,
    dead_queues_of,
    grouped,
    is_dead_queue,
)
from deploy.loading import load
from deploy.management import Management
from deploy.settings import Settings, load_settings
from domain.errors import BrokerError, InputInvalid
from domain.messages.names import Fault
from domain.store.application import WorkflowStore
from domain.topology import DEFAULT_ACTIVITY_QUEUE, topology_of

RATE_AT_MOST: Final = 10_000.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a command was given."""

    message_ids: Sequence[str]
    faults: Sequence[str]
    queues: Sequence[str]
    modules: Sequence[str]
    by: str | None
    reason: str | None
    dry_run: bool


async def list_letters(modules: Sequence[str], screen: Screen) -> ExitCode:
    """List dead letters by queue and fault."""
    settings = load_settings()
    async with _desk(settings) as desk:
        reading = await desk.read(_known_queues(settings, modules, screen))
    _tell_limits(reading, screen)
    groups = grouped(reading.letters)
    if screen.as_json:
        screen.document(
            {"groups": [asdict(group) for group in groups], "more": reading.more, "troubles": reading.troubles}
        )
        return _code_of(reading)
    if groups:
        screen.text(f"{'COUNT':>6}  {'FAULT':<20}  {'QUEUE':<32}  {'FIRST':<19}  {'LAST':<19}  EXAMPLE")
    for group in groups:
        example = f"{one_line(group.message_id, 60)}: {one_line(group.example, 200)}"
        screen.text(
            f"{group.count:>6}  {one_line(group.fault, 40):<20}  {group.queue:<32}  {group.first[:19]:<19}  "
            f"{group.last[:19]:<19}  {example}"
        )
    if groups:
        screen.note(
            "`handrail dead show MESSAGE_ID` (or QUEUE) shows one whole: from whom, about which workflow, and why"
        )
    if any(group.fault == Fault.SENDER_NOT_ALLOWED.value for group in groups):
        screen.note(
            f"{Fault.SENDER_NOT_ALLOWED.value}: its sender was told nothing. Where its word is to count, name its "
            "login in HANDRAIL_VOUCHING or HANDRAIL_ANSWERING, restart who serves, and `handrail dead replay` it"
        )
    if not groups and not reading.troubles:
        screen.note("there are no dead letters")
    return _code_of(reading)


def list_what_was_done(screen: Screen) -> ExitCode:
    """List the acts that the store keeps."""
    with _store(load_settings()) as store:
        if store is None:
            raise InputInvalid("--acts are kept in the store: set HANDRAIL_STORE; without one they are only logged")
        acts = list_acts(store)
    if screen.as_json:
        screen.document([act.as_dict() for act in acts])
        return ExitCode.COMPLETED
    for act in acts:
        screen.text(
            f"{act.acted_at:%Y-%m-%d %H:%M:%S}  {act.act:<9}  {one_line(act.message_id, 60)}  {act.queue}  "
            f"{act.fault}  by {act.acted_by}: {one_line(act.reason, 200)}"
        )
    return ExitCode.COMPLETED


async def show_letters(which: str, modules: Sequence[str], screen: Screen, *, limit: int, body_bytes: int) -> ExitCode:
    """Show dead letters whole."""
    settings = load_settings()
    known = _known_queues(settings, modules, screen)
    queue = dead_queue_named(which, known)
    async with _desk(settings) as desk:
        # Of a message id there may be several: one for each time that somebody sent it.
        reading = await (desk.read([queue], limit) if queue is not None else desk.read(known))
    selection = Selection() if queue is not None else Selection(message_ids=[which])
    found = [letter for letter in reading.letters if selection.fits(letter)][:limit]
    _tell_limits(reading, screen)
    if not found:
        what = f"{queue} is empty" if queue is not None else f"there is no dead letter {which[:255]!r}"
        raise InputInvalid(f"{what}; `handrail dead list` shows what there is")
    if screen.as_json:
        screen.document([as_dict(letter, _body(letter, body_bytes)) for letter in found])
        return ExitCode.COMPLETED
    for letter in found:
        for name, value in as_dict(letter, _body(letter, body_bytes)).items():
            if name == "headers":
                for header, content in value.items():
                    screen.text(f"  header {one_line(header, 200)}: {one_line(content, 1_000)}")
            elif value not in {"", None}:
                screen.text(f"{name}: {_escaped(str(value))}")
        screen.text("")
    return ExitCode.COMPLETED


async def act_on_letters(act: str, wanted: Wanted, screen: Screen, *, rate: float | None = None) -> ExitCode:
    """Send again or throw away what is meant; exit code 4 where something of it could not be."""
    settings = load_settings()
    known = _known_queues(settings, wanted.modules, screen)
    selection = _selection(wanted, known)
    why = None if wanted.dry_run else Why(read_name(wanted.by), read_reason(wanted.reason, needed=True))
    _log_acts()
    failed = 0
    with _store(settings) if why is not None else contextlib.nullcontext() as store:
        async with _desk(settings, store) as desk:
            reading = await desk.read(selection.queues or known)
            _tell_limits(reading, screen)
            letters = [letter for letter in reading.letters if selection.fits(letter)]
            if not letters:
                raise InputInvalid("no dead letter fits; `handrail dead list` shows what there is")
            letters = _in_time(letters, rate, screen)
            if why is None:
                for letter in letters:
                    _tell(screen, f"would {act}", Done(letter, None))
                return ExitCode.COMPLETED
            doing = desk.discard(letters, why) if act == "discard" else desk.replay(letters, why, rate=rate)
            async for done in doing:
                failed += done.act is None
                _tell(screen, done.act.act if done.act is not None else "left", done)
    screen.note(f"{len(letters) - failed} of {len(letters)} dead letters {act}ed".replace("replayed", "sent again"))
    return ExitCode.INTERNAL if failed else ExitCode.COMPLETED


def read_rate(given: str) -> float:
    """How many a second; raises InputInvalid."""
    match = re.fullmatch(r"([0-9]{1,5}(?:\.[0-9]{1,3})?)(?:/s)?", given.strip())
    rate = float(match[1]) if match is not None else 0.0
    if not 0.0 < rate <= RATE_AT_MOST:
        raise InputInvalid(f"--rate {given[:40]!r} is no rate: give, for example, 20/s (at most {RATE_AT_MOST:g}/s)")
    return rate


# --- details --------------------------------------------------------------------------------------------------------


def _desk(settings: Settings, store: WorkflowStore | None = None) -> DeadDesk:
    return DeadDesk(needed(operator_address(settings), "broker").url, store)


@contextlib.contextmanager
def _store(settings: Settings) -> Iterator[WorkflowStore | None]:
    """The store that acts are kept in, where there is a shared one."""
    if settings.store is None:
        yield None
        return
    from deploy.cli.stores import open_any_store

    with open_any_store(None) as store:
        yield store


def _known_queues(settings: Settings, modules: Sequence[str], screen: Screen) -> list[str]:
    """The dead queues of the loaded modules, and, where the management interface is known, all that there are."""
    loaded = load(modules_of(modules))
    queues = {one.queue for definition in loaded for one in definition.activities.values()}
    known = dead_queues_of(topology_of({DEFAULT_ACTIVITY_QUEUE, *queues}))
    address = management_address(settings)
    if address is None:
        return known
    vhost = unquote(urlsplit(needed(operator_address(settings), "broker").url).path.removeprefix("/")) or "/"
    try:
        with Management(address) as management:
            there = [str(one["name"]) for one in management.every("queues", vhost, columns="name")]
    except BrokerError as error:
        screen.note(f"only the queues of loaded modules are looked at: {error}", "yellow")
        return known
    return list(dict.fromkeys([*known, *sorted(name for name in there if is_dead_queue(name))]))


def _selection(wanted: Wanted, known: Sequence[str]) -> Selection:
    if not (wanted.message_ids or wanted.faults or wanted.queues):
        raise InputInvalid(
            "say which: --message-id ID, --fault FAULT or --queue QUEUE; `handrail dead list` shows them"
        )
    queues = []
    for given in wanted.queues:
        queue = dead_queue_named(given, known)
        if queue is None:
            raise InputInvalid(f"--queue {given[:80]!r} is no dead queue known here; there are: {', '.join(known)}")
        queues.append(queue)
    return Selection(wanted.message_ids, wanted.faults, queues)


def _in_time(letters: list[Letter], rate: float | None, screen: Screen) -> list[Letter]:
    """As many as can be sent at this rate while they may be held."""
    if rate is None or len(letters) <= rate * HELD_SECONDS:
        return letters
    most = max(1, int(rate * HELD_SECONDS))
    screen.note(
        f"{len(letters)} fit; at {rate:g}/s {most} can be sent in the {HELD_SECONDS / 60:g} minutes that messages may "
        "be held: run it again for the rest",
        "yellow",
    )
    return letters[:most]


def _tell_limits(reading: Reading, screen: Screen) -> None:
    """Say what was not looked at. Raises InputInvalid where the login may not look at anything."""
    if reading.refused and len(reading.refused) == len(reading.troubles) and not reading.letters:
        raise InputInvalid(
            f"{reading.troubles[0].partition(';')[0]}: set HANDRAIL_BROKER_OPERATOR to a login with the role operator, "
            "and HANDRAIL_BROKER_OPERATOR_PASSWORD_FILE to the file of its password; `handrail topology apply "
            "--credentials FILE` makes one"
        )
    for queue, more in reading.more.items():
        screen.note(f"{queue}: {more} more were not looked at: act on these first", "yellow")
    for trouble in reading.troubles:
        screen.note(trouble, "yellow")


def _tell(screen: Screen, what: str, done: Done) -> None:
    """One line about one message; a JSON line holds all of it."""
    letter = done.letter
    if screen.as_json:
        screen.value({"act": what, "trouble": done.trouble, **as_dict(letter, _body(letter, None))})
        return
    said = letter.said
    name = one_line(letter.delivery.message_id, 100) or "a message without id"
    where = f"to {said.exchange} {one_line(said.routing_key, 60)}" if what.endswith(("replay", "replayed")) else ""
    words = done.trouble or where or one_line(said.reason, 200)
    screen.text(f"{what}  {name}  {letter.delivery.queue}  {one_line(said.fault, 40)}  {one_line(words, 500)}")


def _body(letter: Letter, most: int | None) -> dict[str, Any]:
    """The body, or the beginning of it, as text, or in base64 where it is none."""
    content = letter.delivery.body
    part = content if most is None else content[:most]
    left_out = {"bytes_left_out": len(content) - len(part)} if len(part) < len(content) else {}
    try:
        # A cut may go through a character: only what is whole can be wrong.
        text = content.decode()
        return {"body": text if not left_out else part.decode(errors="ignore"), **left_out}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(part).decode(), **left_out}


def _escaped(text: str) -> str:
    """Without anything that a terminal would act on."""
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text)


def _code_of(reading: Reading) -> ExitCode:
    return ExitCode.INTERNAL if reading.troubles else ExitCode.COMPLETED


def _log_acts() -> None:
    """Have the program's log on stderr, as JSON, where that is kept: at a terminal the lines say the same."""
    if not sys.stderr.isatty():
        from deploy.serving.logs import log_to_stream

        log_to_stream()
