"""Findings, and how they are come by: each check in a thread of its own, none waited for longer than it may take."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from domain.errors import HandrailError

Value = TypeVar("Value")

CHECK_SECONDS: Final = 20.0
"""How long one check may take."""


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong, or it could not be asked because nobody said where."""
    WARN = "warn"
    """It works, and promises less than it could, or will not work for long."""
    MEND = "mend"
    """Something does not work, or may lose what it must not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what it is about, how much it matters, and what to do where something is to be done."""

    about: str
    level: Level
    text: str

    def __str__(self) -> str:
        return f"{self.level:<4}  {self.about:<8}  {self.text}"


Check = Callable[[], Iterable[Finding]]
"""Looks at one thing; may block, and may raise."""


async def examine(checks: Mapping[str, Check], *, seconds: float = CHECK_SECONDS) -> list[Finding]:
    """What all checks find, in their order, each thing once; by the name of what each is about.

    One that raises has found that; one that hangs is left behind.
    """
    found = await asyncio.gather(*(_looked(about, check, seconds) for about, check in checks.items()))
    # Several look at one server: that it cannot be reached is one finding.
    once: dict[tuple[Level, str], Finding] = {}
    for finding in (finding for findings in found for finding in findings):
        once.setdefault((finding.level, finding.text), finding)
    return list(once.values())


async def _looked(about: str, check: Check, seconds: float) -> list[Finding]:
    # "store: clock" is a check of its own, about the store.
    name = about.partition(":")[0]
    try:
        async with asyncio.timeout(seconds):
            return await in_thread(lambda: list(check()))
    except TimeoutError:
        words = f"{about}: no answer within {seconds:g} s: see that the machine and the network are well"
        return [Finding(name, Level.MEND, words)]
    except HandrailError as error:
        return [Finding(name, Level.MEND, str(error))]
    except Exception as error:  # noqa: BLE001 - a check that falls over must not hide what the others find
        return [Finding(name, Level.MEND, f"{about} cannot be looked at: {type(error).__name__}: {error}")]


async def in_thread(work: Callable[[], Value]) -> Value:
    """The result of blocking work, in a thread that nobody waits for when the process ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Value] = loop.create_future()

    def settle(result: Value | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # where there is no error there is a result

    def run() -> None:
        result: Value | None = None
        failed: BaseException | None = None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=run, name="doctor", daemon=True).start()
    return await done
