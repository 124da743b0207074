"""What the holder of a home runs: attempts, relay, timer, sweep, leases. Made when the lock is had, ended with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from consumers.activities import ActivityRunner, Bounds
from consumers.claims import Claims, OpenRow
from consumers.context import Surroundings
from consumers.inbox import REISSUE_AFTER_SECONDS
from consumers.leases import LeaseKeeper
from consumers.redaction import Redactor
from consumers.sweep import Reissued, Sweep
from consumers.waiting import WaitingRoom
from deploy.artifacts import ArtifactStore
from deploy.following import PatientFollower
from deploy.loading import LoadedDefinitions
from deploy.open_home import OpenHome
from deploy.relaying import RelaySurroundings
from deploy.replays import Replays
from deploy.scope import Scope
from deploy.sealing import sealing_of
from deploy.secrets import SecretStore
from deploy.settings import Settings
from deploy.thresholds import thresholds_of, unknown_names
from deploy.viewing import Judged, ViewsRole
from domain.errors import HandrailError, StoreError
from domain.events import StoppingBegan
from domain.ids import parse_message_id
from domain.ports import Clock
from domain.store.positions import position_of
from producers.memory import MemorySender
from producers.relay import RELAY, Relay
from producers.timers import Timer
from projections.stuck import QueueFacts

_log: Final = logging.getLogger("handrail.deploy")

_RESTART_SECONDS: Final = 1.0

Role = Callable[[], Awaitable[None]]


class Holder:
    """All roles of one process on one machine."""

    def __init__(  # noqa: PLR0913 - what the roles share
        self,
        *,
        home: Path,
        owner: str,
        opened: OpenHome,
        definitions: LoadedDefinitions,
        scope: Scope,
        clock: Clock,
        settings: Settings,
        redactor: Redactor,
        views: bool,
    ) -> None:
        """Put the roles together; nothing runs before `begin`."""
        store, decider = opened.store, opened.turns
        self._opened = opened
        self._store = store
        self._scope = scope
        self._settings = settings
        self._clock = clock
        self._trouble = opened.watchers.fail
        surroundings = Surroundings(home.absolute(), ArtifactStore(home), SecretStore(), redactor)
        bounds = Bounds(
            attempts=settings.attempts_at_once,
            threads=settings.threads,
            cancel_grace_seconds=settings.cancel_grace_seconds,
            give_up_seconds=settings.give_up_seconds,
        )
        self.runner = ActivityRunner(
            decider=decider,
            definitions=definitions,
            surroundings=surroundings,
            clock=clock,
            worker=owner,
            bounds=bounds,
        )
        self.runner.trouble = opened.watchers.fail
        claims = Claims(store, owner, lease_seconds=settings.lease_seconds)
        self.consumer = WaitingRoom(claims, self.runner, most=settings.deliveries_held)
        self.consumer.drained = self._drained
        self.runner.traces = self.consumer.traces = opened.traces
        self.consumer.missing = self._missing
        self.runner.meter = opened.attempts
        opened.attempts.running = self.runner.running.__len__
        opened.attempts.waiting = lambda: self.consumer.waiting
        opened.metrics.settles(self.consumer.counts.__getitem__)
        self.sender = MemorySender(self.consumer.put)
        self._keeper = LeaseKeeper(claims, self.runner)
        self._outside = RelaySurroundings(
            store=store,
            definitions=definitions,
            wanted=self._not_started_here,
            stopping=self._stopping,
            scope=scope,
            scope_grew=self._sweep_now,
        )
        self.sweep = Sweep(
            claims=claims,
            decider=decider,
            clock=clock,
            running=lambda: self.runner.running,
            scope=lambda: scope.ids,
            reissue=self._issue,
        )
        self.timer = Timer(store=store, decider=decider, clock=clock, scope=lambda: scope.ids)
        judged = self._judged(definitions)
        sealing = sealing_of(settings.seal, store, clock)
        self._projector = (
            ViewsRole(store, busy=lambda: self.busy, judged=judged, metrics=opened.views, sealing=sealing)
            if views
            else None
        )
        self._replays = Replays(
            store, definitions, definitions, clock=clock, checks_per_second=settings.replay_checks_per_second
        )
        self._relay: Relay | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._leases: asyncio.Task[None] | None = None
        self._swept = asyncio.Event()
        self._horizon_seconds = 0.0
        self._unknown: set[str] = set()

    async def begin(self) -> None:
        """Take over what former holders have left behind, and run. Raises StoreError where the store cannot be used."""
        self._scope.begun_at = self._store.newest()
        self._opened.inbox.starter = self.runner
        self._opened.inbox.to_send = {}
        self._opened.timers.armed = self.timer.armed
        self._leases = asyncio.create_task(self._keep_up("leases", self._keeper.run))
        self._scope.take_new()
        await self.sweep.take_over(self._scope.ids)
        await self.timer.wake_definitions()
        # What fell due while nobody ran is decided before anybody looks: it may no longer wait for a person.
        await self.timer.fire()
        await self._opened.signals.deliver_kept(self._scope.ids)
        roles: dict[str, Role] = {
            "relay": self._run_relay,
            "timer": self.timer.run,
            "consumer": self.consumer.run,
            "sweep": self._run_sweep,
        }
        if self._projector is not None:
            roles["projector"] = self._projector.run
            if self._settings.replay_checks_per_second:
                roles["replays"] = self._replays.run
        self._tasks = [asyncio.create_task(self._keep_up(name, role), name=name) for name, role in roles.items()]

    async def end(self, *, hurry: bool) -> None:
        """Begin nothing more, give attempts under way their grace, and stop."""
        self._opened.inbox.starter = None
        await _cancel([task for task in self._tasks if task.get_name() != "relay"])
        await self.runner.close(grace_seconds=self._settings.closing_grace_seconds, hurry=hurry)
        await _cancel(self._tasks)
        if self._leases is not None:
            await _cancel([self._leases])
        if self._relay is not None:
            try:
                await self._relay.write_position()
            except StoreError as error:
                _log.warning("the relay's position is left behind: %s", error)
        if self._projector is not None:
            await self._projector.finish()

    def drop(self) -> list[asyncio.Task[None]]:
        """Begin nothing more; the tasks to cancel, as if the process had been killed."""
        self._opened.inbox.starter = None
        return [*self._tasks, *([self._leases] if self._leases is not None else []), *self.runner.drop()]

    def scope_grew(self) -> None:
        """Workflows came into the scope that may have been left behind."""
        self._sweep_now()

    @property
    def busy(self) -> bool:
        """Whether attempts are under way."""
        return bool(self.runner.running)

    def _judged(self, definitions: LoadedDefinitions) -> Judged:
        for words in unknown_names(self._settings.stuck, definitions):
            _log.warning("%s", words)
        return Judged(self._clock, thresholds_of(self._settings.stuck, definitions), self._queues_now)

    def _queues_now(self, queues: Collection[str]) -> Mapping[str, QueueFacts]:
        """There is no broker: this process consumes whatever is scheduled."""
        return dict.fromkeys(queues, QueueFacts(1, self.consumer.waiting))

    # --- roles ------------------------------------------------------------------------------------------------------

    async def _run_relay(self) -> None:
        await self._outside.try_all()
        with self._store.reading() as cursor:
            position = position_of(cursor, RELAY)
        follower = PatientFollower(self._store, position)
        self._relay = Relay(
            follower=follower,
            sender=self.sender,
            decider=self._opened.turns,
            signals=self._opened.signals,
            known=self._outside.known,
            outside=self._outside,
            clock=self._clock,
        )
        try:
            await self._relay.run()
        finally:
            follower.close()

    async def _not_started_here(self, message_ids: Sequence[str]) -> Collection[str]:
        """The commands that the relay is to send: not those that were claimed and started as they were scheduled."""
        to_send = self._opened.inbox.to_send
        if not to_send:
            return message_ids
        return [message_id for message_id in message_ids if to_send.pop(message_id, True)]

    async def _issue(self, rows: Sequence[OpenRow]) -> Reissued:
        """Send open commands on their way again: the port `Reissue` of the sweep."""
        commands, unreadable = await self._outside.commands_of(rows)
        return Reissued([*unreadable, *(command.message_id for command in self.sender.hand_over(commands))])

    def _stopping(self, workflow_id: str, event: StoppingBegan) -> None:
        """Tell the attempts of a workflow that begins to stop; a failure of another branch leaves them their time."""
        self.runner.request_cancel(workflow_id, force=event.why != "failed")

    async def _run_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            timer = loop.call_later(self._settings.sweep_seconds, self._swept.set)
            try:
                await self._swept.wait()
            finally:
                timer.cancel()
            self._swept.clear()
            new = self._scope.take_new()
            if new:
                await self.sweep.take_over(new)
                self.timer.look_again()
            if self._unknown:
                unknown, self._unknown = self._unknown, set()
                await self.sweep.wake(sorted(unknown), "definition missing")
            if self._horizon_seconds:
                horizon, self._horizon_seconds = self._horizon_seconds, 0.0
                await self.sweep.issue_again(horizon_seconds=horizon)
            await self.sweep.once()
            await self._opened.signals.deliver_kept(self._scope.ids)

    def _sweep_now(self) -> None:
        self._swept.set()

    def _missing(self, message_ids: Collection[str]) -> None:
        """Nobody here can run these commands: their workflows are to say what they wait for."""
        self._unknown.update(parse_message_id(message_id).workflow_id for message_id in message_ids)
        self._swept.set()

    def _drained(self) -> None:
        """The transport dropped commands for want of room, and has room again: those never issued since come now."""
        self._horizon_seconds = REISSUE_AFTER_SECONDS
        self._swept.set()

    async def _keep_up(self, name: str, role: Role) -> None:
        """Run a role for as long as the process lives, whatever happens to it."""
        while True:
            try:
                await role()
            except HandrailError as error:
                _log.warning("%s stopped and begins again: %s", name, error)
                self._trouble(error)
            except Exception as error:  # noqa: BLE001 - a fault of one role must not end the others
                _log.exception("%s stopped and begins again", name)
                self._trouble(HandrailError(f"{name}: {type(error).__name__}: {error}"))
            await asyncio.sleep(_RESTART_SECONDS)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
