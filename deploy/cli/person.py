"""Asking the person at the terminal: shows the action and its digest, and reads a decision. All of it on stderr.

Reading does not block the workflow: whatever else happens meanwhile goes on, and a question whose answer came from
somewhere else is withdrawn.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import Final

from deploy.cli.lines import one_line
from deploy.cli.outline import outline
from deploy.cli.pending import shown_parts, votes
from deploy.cli.screen import Screen
from domain.errors import InputInvalid
from domain.state import Ballot

MOST_BYTES: Final = 4_096
WIDTH: Final = 80
"""Columns of the JSON that is shown: beside its labels it fits an ordinary terminal."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the person said."""

    decision: str
    decided_by: str
    controls: tuple[str, ...] = ()
    reason: str = ""


def at_terminal() -> bool:
    """Whether there is a person to ask: questions are shown on stderr and answered on stdin."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


class Person:
    """The person at the terminal."""

    def __init__(self, screen: Screen) -> None:
        """Questions are shown on this screen's stderr."""
        self._screen = screen
        self._unread = b""
        self._shown: set[str] = set()

    async def decide(self, workflow_id: str, ballot: Ballot) -> Answer | None:
        """Show an approval and ask for a decision; None for later."""
        # Who is asked again, because a decision was refused, has it in front of them.
        if ballot.request.digest not in self._shown:
            self._shown.add(ballot.request.digest)
            self._show(workflow_id, ballot)
        while True:
            word = await self._ask("approve, reject or later? ")
            if word is None or (word and "later".startswith(word.lower())):
                return None
            if word and "approve".startswith(word.lower()):
                return await self._approval(ballot)
            if word and "reject".startswith(word.lower()):
                return await self._rejection()
            self._screen.note("Say approve, reject or later (a, r, l).")

    async def _approval(self, ballot: Ballot) -> Answer | None:
        who = await self._needed("who decides (your name)? ")
        if who is None:
            return None
        proposed = ballot.request.proposed_controls
        hint = f" [{'; '.join(one_line(control) for control in proposed)}]" if proposed else " [none]"
        controls = await self._ask(f"controls, separated by ';'{hint}: ")
        if controls is None:
            return None
        given = tuple(part.strip() for part in controls.split(";") if part.strip())
        return Answer("approve", who, given)

    async def _rejection(self) -> Answer | None:
        who = await self._needed("who decides (your name)? ")
        reason = await self._needed("why? ") if who is not None else None
        return None if who is None or reason is None else Answer("reject", who, reason=reason)

    def _show(self, workflow_id: str, ballot: Ballot) -> None:
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        asked = ballot.request
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        rows = [
            ("workflow", workflow_id),
            ("step", asked.step),
            ("why", one_line(asked.reason)),
            *((label, "\n".join(outline(value, width=WIDTH))) for label, value in shown_parts(ballot)),
            ("digest", asked.digest),
            ("policy", one_line(f"{asked.policy} {asked.policy_version}: {votes(ballot)}")),
            ("controls", "; ".join(one_line(control) for control in asked.proposed_controls) or "none proposed"),
        ]
        if asked.deadline_at is not None:
            rows.append(("until", f"{asked.deadline_at:%Y-%m-%d %H:%M %Z} ({asked.on_expiry} then)"))
        for label, value in rows:
            table.add_row(label, Text(value))
        self._screen.console.print(Panel(table, title="approval needed", title_align="left", border_style="yellow"))

    async def _needed(self, question: str) -> str | None:
        while True:
            word = await self._ask(question)
            if word is None or word:
                return word

    async def _ask(self, question: str) -> str | None:
        """One line from the terminal, without its end; None at the end of input."""
        sys.stderr.write(question)
        sys.stderr.flush()
        line = await self._line()
        if line is None:
            sys.stderr.write("\n")
            return None
        text = line.decode("utf-8", "replace").strip()
        if not text.isprintable():
            raise InputInvalid(f"the answer {text[:40]!r} holds control characters: run again and type it anew")
        return text

    async def _line(self) -> bytes | None:
        descriptor = sys.stdin.fileno()
        while b"\n" not in self._unread and len(self._unread) < MOST_BYTES:
            await _readable(descriptor)
            piece = os.read(descriptor, MOST_BYTES)
            if not piece:
                return None
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line


async def _readable(descriptor: int) -> None:
    """Return when there is something to read."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
