"""The exchanges that a process publishes to: whether they are there and may be written to, before anything is sent.

They are asked about when a connection to the broker is made, when the broker has refused a message over its exchange,
and again and again while something is wrong. Asking changes nothing. An exchange is declared passively; versions that
answer that only to those who may declare are told from one that lacks it. For the right to write, a binding is taken
away that nobody ever made: the broker looks first whether the exchange behind it may be written to, and then finds that
it has nothing to do. No message is sent for it, which an alternate exchange would keep.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

from domain.backoff import Backoff
from domain.topology import CONTROL_EXCHANGE, GOALS_EXCHANGE
from producers.bounded import within
from producers.link import MISSING, REFUSED, Link

_log: Final = logging.getLogger("handrail.producers")

ANSWER_SECONDS: Final = 5.0
"""How long the broker may take over a question: then the exchange is asked about again."""
LONGEST_PAUSE_SECONDS: Final = 10.0
"""How long after its mending a process may still say what was wrong."""
LEAST_PAUSE_SECONDS: Final = 1.0
"""Between two rounds of questions where nothing was found: the broker may refuse message after message."""
NOBODY_BINDS: Final = "handrail.nobody-binds-this"

_Question = Callable[[Any], Awaitable[object]]


class Destinations:
    """What is known of the exchanges that are published to. One for each publisher, which has it `watch`."""

    def __init__(self, *, login: str, chance: Callable[[], float]) -> None:
        """Nothing is expected; `login` is whom the broker knows the publisher as."""
        self._login = login
        self._backoff = Backoff(chance, first_seconds=LEAST_PAUSE_SECONDS, longest_seconds=LONGEST_PAUSE_SECONDS)
        self._expected: tuple[str, ...] = ()
        self._found: dict[str, str] = {}
        self._ask = asyncio.Event()

    @property
    def trouble(self) -> str:
        """What is wrong, and what to do; nothing where all that is expected is there."""
        found = (self._found.get(exchange, f"exchange {exchange}: not asked about yet") for exchange in self._expected)
        return "; ".join(words for words in found if words)

    def expect(self, exchanges: Collection[str]) -> None:
        """These are published to, from now on."""
        self._expected = tuple(sorted(exchanges))
        self._ask.set()

    def doubt(self, exchange: str) -> None:
        """The broker has refused a message to this exchange: ask what is wrong with it."""
        if exchange in self._expected:
            self._ask.set()

    async def watch(self, link: Link) -> None:
        """Ask over this connection whenever there is a reason, until cancelled, or until the connection gives out."""
        self._ask.set()
        while not link.gone.done():
            await self._ask.wait()
            if link.blocked:  # it would answer nothing, and count as gone
                await link.unblocked()
            self._ask.clear()
            well = True
            for exchange in self._expected:
                found = await self._look(link, exchange)
                well = well and found == ""
                if found is not None:
                    self._note(exchange, found)
            if well:
                self._backoff.succeeded()
                await asyncio.sleep(LEAST_PAUSE_SECONDS if self._expected else 0)
            else:
                await asyncio.sleep(self._backoff.failed())
                self._ask.set()

    def _note(self, exchange: str, found: str) -> None:
        before = self._found.get(exchange, "")
        self._found[exchange] = found
        if found and found != before:
            _log.error("what is to be sent will not arrive: %s", found)
        elif before and not found:
            _log.info("exchange %s is there, and may be written to", exchange)

    async def _look(self, link: Link, exchange: str) -> str | None:
        """What is wrong with an exchange; nothing where nothing is, None where no answer came."""
        source = GOALS_EXCHANGE if exchange != GOALS_EXCHANGE else CONTROL_EXCHANGE
        try:
            there = await _refusal(link, lambda channel: channel.exchange_declare(exchange, passive=True))
            writable = await _refusal(
                link, lambda channel: channel.exchange_unbind(exchange, source, routing_key=NOBODY_BINDS)
            )
        except Exception as error:  # noqa: BLE001 - the library raises what it likes when a connection dies
            _log.debug("exchange %s: %s", exchange, str(error) or type(error).__name__)
            return None
        if isinstance(there, MISSING):
            return f"exchange {exchange} is not there ({there}): `handrail topology apply` declares it"
        # Where the words name the other exchange, the right to write was there, and the login may not read that one.
        if isinstance(writable, REFUSED) and f"exchange '{exchange}' in " in str(writable):
            return (
                f"exchange {exchange} may not be written to as {self._login or 'this login'} ({writable}): "
                "`handrail topology apply --credentials FILE` gives logins their rights"
            )
        return ""


async def _refusal(link: Link, question: _Question) -> BaseException | None:
    """What the broker closes a channel with over this question; nothing where it answers.

    Raises TimeoutError, or whatever the library does when the connection goes.
    """
    channel = await link.open_channel()
    if channel is None:
        raise TimeoutError("there is no channel")
    try:
        await within(ANSWER_SECONDS, _asked(question, channel))
    except (REFUSED, MISSING) as error:
        return error
    await within(ANSWER_SECONDS, channel.close())
    return None


async def _asked(question: _Question, channel: Any) -> object:
    return await question(channel)
