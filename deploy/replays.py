"""Decides closed and blocked workflows again, slowly, and says where that comes out otherwise than is recorded.

Theory of operation. One process at a time walks the log behind the views, at a position of its own. Where it comes past
the newest event of a workflow that is closed or blocked, it reads that history, holds it against its digests, and has
it decided again by this version of the code. What differs is a row of `replay_mismatches`, and the workflow is judged
at once; what agrees again loses its row. Workflows whose definition is not loaded here are passed over, and what
another version of the engine decided otherwise is no mismatch. Other definitions, changed ones that kept their version
among them, or another engine, walk the whole log anew: their position has another name; so does everybody once a day,
since histories can also be changed in the store, and author code where nobody sees it from here.

It is bounded by a rate, and by a share of one core, whatever the rate says. At rest it asks one statement a minute.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from domain.builtin import is_hidden
from domain.definitions import Definition
from domain.errors import (
    EventCorrupt,
    EventUnknown,
    FenceMissed,
    HandrailError,
    PayloadWithheld,
    StoreError,
    WorkflowUnknown,
)
from domain.ports import Along, Aside, Clock, Cursor, Definitions
from domain.recorded import ENGINE, RecordedEvent
from domain.replay import decide_again
from domain.store.application import WorkflowStore
from domain.store.aside import inline
from domain.store.positions import MovePosition, position_of
from projections.mismatches import Agreed, Mismatch
from projections.schema import POSITION
from projections.sql import KEYS_PER_QUERY

FIRST_LOOK_SECONDS: Final = 10.0
"""How long after it began it is looked for the first time: with it the code may have changed."""
LOOK_SECONDS: Final = 60.0
"""How often it is looked whether anything has come to rest."""
AGAIN: Final = timedelta(minutes=10)
"""How often those that are known to differ are decided again."""
WALK_AGAIN: Final = timedelta(days=1)
"""How long after it began a walk through the log that has come to its end begins once more."""
CORE_SHARE: Final = 0.01
"""How much of one core this may use."""
DIFFERING_AT_ONCE: Final = 300
"""How many of those are decided again in one go: the walk is not to wait for all of very many."""
PAGE_EVENTS: Final = 1_000
MOST_EVENTS: Final = 10_000
"""Longer histories are passed over: deciding them again would hold up this process."""
WORDS_CHARACTERS: Final = 230

_PREFIX: Final = "replays-"
_log: Final = logging.getLogger("handrail.deploy")


@dataclass(frozen=True, slots=True)
class Resting:
    """A workflow that is closed or blocked, as its row says."""

    workflow_id: str
    version: int
    definition: str
    definition_version: str


@dataclass(frozen=True, slots=True)
class Differs:
    """What deciding again found: the first event that comes out otherwise, and how."""

    version: int
    words: str


class _Agrees:
    """A history is decided as it was, as far as this engine may say."""


Found = list[RecordedEvent] | Differs | _Agrees | None


class Replays:
    """The check of one process. `run` it where one process at a time does."""

    def __init__(
        self,
        store: WorkflowStore,
        definitions: Definitions,
        loaded: Iterable[Definition],
        *,
        clock: Clock,
        checks_per_second: float,
        aside: Aside = inline,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        used_seconds: Callable[[], float] = time.thread_time,
    ) -> None:
        """`loaded` are all the `definitions`; `used_seconds` says how long the thread that asks has computed so far."""
        self._store = store
        self._definitions = definitions
        self._name = position_name(loaded)
        self._clock = clock
        self._rate = checks_per_second
        self._aside = aside
        self._pause = pause
        self._used = used_seconds
        self._position: int | None = None
        self._some_differ = False
        self._differ_after = ""
        self._walked_from = self._differ_at = clock()
        self.checked = 0
        """How many histories were decided again."""

    async def run(self) -> None:
        """Check until cancelled, or nothing at all where the rate is 0. Trouble with the store is waited out."""
        # First a pause: a process that lives for a moment has other things to do.
        pause_seconds = FIRST_LOOK_SECONDS
        while self._rate > 0:
            await self._pause(pause_seconds)
            pause_seconds = LOOK_SECONDS
            try:
                await self.round()
            except FenceMissed:
                # Another process walks as well, or did: go on from where that one is.
                self._position = None
            except StoreError as error:
                self._position = None
                _log.warning("histories are not decided again for now: %s", error)
            except Exception:  # noqa: BLE001 - whatever it is, the views beside go on
                self._position = None
                _log.exception("histories are not decided again for now")

    async def round(self) -> None:
        """Check everything that came to rest since the last time, and at times what is known to differ."""
        now = self._clock()
        if self._position is None:
            self._position = await self._aside(self._begin)
            self._differ_at = now - AGAIN
        if self._some_differ and now - self._differ_at >= AGAIN:
            self._differ_at = now
            for one in await self._aside(self._differing):
                await self._check(one)
        while page := await self._aside(self._page):
            newest, versions = page
            resting = await self._aside(lambda: self._resting(sorted(versions)))  # noqa: B023 - awaited here
            for one in resting:
                # Of several events of a workflow it is the last one that finds it at rest.
                if versions[one.workflow_id] == one.version:
                    await self._check(one)
            await self._move(newest)
            # Where nothing of a stretch is to be checked, the log is not read through at one go either.
            await self._pause(1.0 / self._rate)
        if self._position and now - self._walked_from >= WALK_AGAIN:
            self._walked_from = now
            await self._move(0)

    # --- walking ----------------------------------------------------------------------------------------------------

    def _begin(self) -> int:
        with self._store.reading() as cursor:
            self._some_differ = bool(cursor.query("SELECT workflow_id FROM replay_mismatches LIMIT 1"))
            position = position_of(cursor, self._name)
        if not position:
            # What other definitions had come to is of no use any more.
            self._store.run(_ForgetOthers(self._name), point="project")
        return position

    def _page(self) -> tuple[int, Mapping[str, int]] | None:
        """The next events that the views have: the position of the last, and the newest version of each workflow."""
        rows = self._store.query(
            "SELECT id, originator_id, originator_version FROM stored_events WHERE id > ? "
            "AND id <= (SELECT coalesce(max(position), 0) FROM positions WHERE name = ?) ORDER BY id LIMIT ?",
            (self._position or 0, POSITION, PAGE_EVENTS),
        )
        return (rows[-1][0], {name: version for _, name, version in rows}) if rows else None

    def _differing(self) -> list[Resting]:
        """The next of those that are known to differ; behind the last of them it begins again with the first."""
        rows = self._store.query(
            "SELECT workflow_id FROM replay_mismatches WHERE workflow_id > ? ORDER BY workflow_id LIMIT ?",
            (self._differ_after, DIFFERING_AT_ONCE),
        )
        self._some_differ = bool(rows) or bool(self._differ_after)
        self._differ_after = rows[-1][0] if len(rows) == DIFFERING_AT_ONCE else ""
        return self._resting([name for (name,) in rows])

    def _resting(self, workflow_ids: list[str]) -> list[Resting]:
        found: list[Resting] = []
        for start in range(0, len(workflow_ids), KEYS_PER_QUERY):
            ids = workflow_ids[start : start + KEYS_PER_QUERY]
            marks = ", ".join("?" * len(ids))
            rows = self._store.query(
                "SELECT workflow_id, version, definition, definition_version FROM workflows "  # noqa: S608 - marks
                f"WHERE workflow_id IN ({marks}) AND (ended_at IS NOT NULL OR status = 'blocked') ORDER BY workflow_id",
                ids,
            )
            found += [Resting(*row) for row in rows]
        return found

    async def _move(self, after: int) -> None:
        move = MovePosition(self._name, self._position or 0, after)
        await self._aside(lambda: self._store.run(move, point="project"))
        self._position = after

    # --- deciding again ---------------------------------------------------------------------------------------------

    async def _check(self, one: Resting) -> None:
        """Decide one history again, and rest for as long as the bounds say."""
        if is_hidden(one.definition) or one.version > MOST_EVENTS:
            return
        if self._definitions.find(one.definition, one.definition_version) is None:
            return
        reading_seconds, found = await self._aside(lambda: self._read(one.workflow_id))
        deciding_seconds = 0.0
        if isinstance(found, list):
            deciding_seconds, found = await asyncio.to_thread(self._decide, found)
        self.checked += 1
        differed = await self._aside(lambda: self._differed(one.workflow_id))
        if isinstance(found, Differs):
            if not differed:
                # Not how: the words hold what is in the events.
                _log.warning("workflow %s is decided otherwise at event %d", one.workflow_id, found.version)
            await self._write(
                Mismatch(one.workflow_id, found.version, self._store.texts.hide(found.words), self._clock())
            )
            if not self._some_differ:
                self._some_differ, self._differ_at = True, self._clock()
        elif isinstance(found, _Agrees) and differed:
            await self._write(Agreed(one.workflow_id, self._clock()))
        await self._pause(max(1.0 / self._rate, (reading_seconds + deciding_seconds) / CORE_SHARE))

    def _differed(self, workflow_id: str) -> bool:
        """Whether it is known already that a workflow is decided otherwise."""
        return bool(self._store.query("SELECT 1 FROM replay_mismatches WHERE workflow_id = ?", (workflow_id,)))

    async def _write(self, along: Along) -> None:
        await self._aside(lambda: self._store.run(along, point="project"))

    def _read(self, workflow_id: str) -> tuple[float, Found]:
        """The history, or what is wrong with it; None where this version of the code cannot say."""
        before = self._used()
        found: Found
        try:
            found = self._store.read(workflow_id, verified=True)
        except EventCorrupt as error:
            found = Differs(0, str(error))
        except (EventUnknown, PayloadWithheld, WorkflowUnknown):
            found = None
        return self._used() - before, found

    def _decide(self, events: list[RecordedEvent]) -> tuple[float, Found]:
        before = self._used()
        found = _decided_again(events, self._definitions)
        return self._used() - before, found


def _decided_again(events: list[RecordedEvent], definitions: Definitions) -> Differs | _Agrees:
    try:
        divergence = decide_again(events, definitions)
    except (HandrailError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Differs(0, f"it cannot be decided again: {type(error).__name__}: {error}")
    if divergence is None or divergence.other_engine:
        return _Agrees()
    expected, found = divergence.expected[:WORDS_CHARACTERS], divergence.found[:WORDS_CHARACTERS]
    return Differs(divergence.version, f"event {divergence.version} is {expected}; decided again it is {found}")


class _ForgetOthers:
    """Statements to run along: positions of other walks go."""

    def __init__(self, name: str) -> None:
        """`name` is the one that stays."""
        self._name = name

    def run(self, cursor: Cursor) -> None:
        """Delete them."""
        cursor.execute("DELETE FROM positions WHERE name LIKE ? AND name <> ?", (f"{_PREFIX}%", self._name))


def position_name(loaded: Iterable[Definition]) -> str:
    """What the position of a walk with these definitions, by this engine, is called."""
    words = [ENGINE, *sorted(_as_declared(one) for one in loaded)]
    return _PREFIX + hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def _as_declared(one: Definition) -> str:
    """All that is data of a definition; what its author's code does is not."""
    policies = [*(one.plan or ()), *one.gates, *one.approvals.values(), one.default_approval]
    activities = [
        f"{name} {each.effect} {each.pivot} {each.compensation} {each.reconcile} {each.queue} {each.foreign} "
        f"{each.retry.model_dump_json()} {each.start_to_finish} {each.schedule_to_finish} {each.settle_after}"
        for name, each in sorted(one.activities.items())
    ]
    planner, artifact = (each.name if each is not None else None for each in (one.planner, one.artifact))
    predicates = sorted((each.name, each.version) for each in one.predicates.values())
    bounds = one.deadline, one.parallel, one.attempts_budget, one.on_failure
    declared = [policy.model_dump_json() for policy in policies], activities, predicates, planner, artifact, bounds
    return f"{one.name} {one.version} {declared}"
