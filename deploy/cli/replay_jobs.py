"""The check of every history in several processes: disjoint ranges of workflows, in the order of their ids.

What comes out is what one process gives, in the same order: all read the log up to one position. Each process opens the
store for itself and holds one range at a time; no more ranges are under way than twice as many as there are processes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from deploy.cli.replaying import loaded
from deploy.cli.session import Session
from domain.definitions import words
from domain.errors import HandrailError, InputInvalid, StoreError
from projections.replaying.checking import Checked, CheckingAll
from projections.replaying.streaming import Range

MOST_JOBS: Final = 64
USUAL_JOBS: Final = 4
"""So many processes at most where nobody says how many: others want the machine too."""
EVENTS_WORTH_IT: Final = 100_000
"""A shorter log is checked by the time that further processes have begun."""
WORKFLOWS_A_RANGE: Final = 250


@dataclass(frozen=True, slots=True)
class Check:
    """What is checked: a place, with which modules, which workflows, up to which position of the log."""

    home: str | None
    modules: tuple[str, ...]
    definition: str | None
    since: datetime | None
    position: int

    def wants(self, name: str) -> bool:
        """Whether workflows of a definition of this name are asked for."""
        return self.definition is None or words(name) == words(self.definition)


def jobs_for(given: int | None, position: int) -> int:
    """How many processes: as given, or as many as a log of so many events is worth. Raises InputInvalid."""
    if given is None:
        return min(USUAL_JOBS, os.cpu_count() or 1) if position >= EVENTS_WORTH_IT else 1
    if not 1 <= given <= MOST_JOBS:
        raise InputInvalid(f"--jobs {given}: give a number from 1 to {MOST_JOBS}")
    return given


def checked_by(jobs: int, check: Check, checking: CheckingAll) -> Iterator[Checked]:
    """What becomes of each workflow, by their ids; raises StoreError where a process cannot go on."""
    if jobs == 1:
        yield from checking.run(check.wants, check.since)
        return
    ranges = checking.ranges(WORKFLOWS_A_RANGE)
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(check,))
    try:
        under_way: deque[Future[list[Checked] | str]] = deque()
        for among in islice(ranges, 2 * jobs):
            under_way.append(pool.submit(_range, among))
        while under_way:
            found = under_way.popleft().result()
            if isinstance(found, str):
                raise StoreError(found)
            for among in islice(ranges, 1):
                under_way.append(pool.submit(_range, among))
            yield from found
    except BrokenProcessPool as error:
        raise StoreError("a process of the check ended before its time; with --jobs 1 it needs no others") from error
    finally:
        pool.shutdown(cancel_futures=True)


# --- in the other processes -----------------------------------------------------------------------------------------

_mine: list[tuple[Check, CheckingAll] | str] = []
_held: Final = contextlib.ExitStack()


def _begin(check: Check) -> None:
    """Open the store, once a process, or keep why that failed. Ctrl-C is the first process's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        session = Session(check.home, list(check.modules), as_json=True)
        store = _held.enter_context(session.store())
        _mine.append((check, CheckingAll(store.reading, store.mapper.read, loaded(session), check.position)))
    except HandrailError as error:
        _mine.append(str(error))


def _range(among: Range) -> list[Checked] | str:
    """Check a range; what went wrong, as words: not every error can be handed from process to process."""
    mine = _mine[0]
    if isinstance(mine, str):
        return mine
    check, checking = mine
    try:
        return list(checking.run(check.wants, check.since, among=among))
    except HandrailError as error:
        return str(error)
