"""Each cause of being stuck, brought about on the real stack: told as that and nothing else, and mended as it is told.

All that is expected to be stuck is held against every word of `handrail stuck` and every scrape of /metrics, all the
while: a cause that is told of a workflow that has another one, or none, fails the test.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.cli.exits import ExitCode
from deploy.cli.stuck import ALL_VIEWS
from domain.topology import activity_queue
from projections.causes import Cause
from projections.stuck import ISSUED_IN_VAIN
from tests.integration.alerts.stage import RECORDING, STUCK
from tests.integration.alerts.stage import Stage as Alerts
from tests.integration.serving.conftest import Deploy, deploy
from tests.integration.serving.deployment import until
from tests.integration.stuck.matrix import THRESHOLDS, alert_of, measured_rows
from tests.integration.stuck.meddler import Meddler
from tests.integration.stuck.office import MENDED, REGISTER_PORT
from tests.integration.stuck.stage import Stage, modules
from tests.integration.stuck.witness import Watch, Witness
from tests.integration.stuck.yard import OPEN
from tests.servers.processes import free_ports

__all__ = ["deploy"]

DECIDING = ("office", "yard", "press", "ferry", "second_version")
FLOOD = 120
LATEST_SECONDS = 30.0
"""How long after its threshold a cause may be told at the latest."""

THRESHOLD = timedelta(seconds=2)
"""Every threshold here, of the one cause that a definition is brought about with; all others are those shipped."""
LAG = timedelta(seconds=10)
"""How far the views may be behind: longer than a projector takes to begin."""
ALERTS = "HANDRAIL_TEST_ALERTS"
"""The variable by which a Prometheus and an Alertmanager are asked for."""
LATER = (Cause.LEASE_LAPSED, Cause.TIMER_OVERDUE, Cause.PROJECTION_LAG)
"""What is brought about when all else is mended, since it stops what the others need."""


def goal(cause: Cause) -> str:
    """The goal, and name, of the definition that a cause is brought about with."""
    return cause.value.replace("_", " ")


def thresholds() -> str:
    """Every definition's own threshold, as a setting."""
    own = {goal(cause): {name: THRESHOLD.total_seconds()} for cause, name in THRESHOLDS.items()}
    return json.dumps({"lag": LAG.total_seconds(), "definitions": own})


class Play:
    """The stage, the witness, and one workflow for each cause."""

    def __init__(self, stage: Stage, witness: Witness, stack: ExitStack, alerts: Alerts | None) -> None:
        self.stage = stage
        self.witness = witness
        self.alerts = alerts
        self.deployment = stage.deployment
        self.names: dict[Cause, str] = {}
        self.mended: dict[Cause, float] = {}
        """When what was told to help was typed."""
        self._stack = stack

    def ask(self, cause: Cause) -> str:
        """Ask for a workflow of the definition that is named after a cause; it may be stuck by that."""
        (self.names[cause],) = self.stage.submit({cause.value: goal(cause)})
        self.witness.expect(cause, self.names[cause])
        return self.names[cause]

    def flood(self) -> list[str]:
        """Ask for more than one process does in time."""
        names = self.stage.submit({f"page-{number}": goal(Cause.BACKLOG) for number in range(FLOOD)})
        self.witness.expect(Cause.BACKLOG, *names)
        return names

    def meddle(self, queue: str, *, keeping: bool) -> Meddler:
        """Somebody at an activity queue."""
        return self._stack.enter_context(Meddler(self.deployment.vhost.url, activity_queue(queue), keeping=keeping))

    def file(self, path: Path) -> Path:
        """A file in the folder that all processes run in."""
        return self.deployment.folder / path

    def begun(self, what: str) -> None:
        """Wait until an activity says that it has begun."""
        until(self.file(Path(f"{what} has begun")).exists, f"{what} has not begun")

    def help(self, cause: Cause) -> str:
        """The command that was told to help."""
        return self.witness.sights[cause].help

    def told(self, *causes: Cause) -> None:
        """Wait until everybody tells these."""
        self.witness.until_told(*causes)
        if self.alerts is not None:
            for cause in causes:
                self.alerts.until_told(alert_of(cause))
                self.witness.look()

    def do_as_told(self, cause: Cause, code: int = 0) -> str:
        """Type the command that was told to help; what it printed."""
        self.mended[cause] = time.time()
        return "".join(one.stdout for one in self.stage.typed(self.help(cause), code))

    def serve_as_told(self, cause: Cause, name: str, *, module: str = "", **environment: str) -> None:
        """Type the command that was told to help, which begins a process."""
        self.mended[cause] = time.time()
        self.stage.served_as_typed(name, self.help(cause), module=module, **environment)

    def went_on(self, cause: Cause) -> None:
        """Wait until its workflow has ended, and nothing is told of it any more."""
        name = self.names.get(cause)
        if name is not None:
            self.stage.ended([name], "compensated" if cause is Cause.COMPENSATION_FAILED else "completed")
        self.witness.until_gone(cause, self.mended[cause])


@pytest.fixture
def play(deploy: Deploy) -> Iterator[Play]:
    """A stack of seven processes. One workflow has completed; the projector has another recipe of it."""
    settings = {
        "HANDRAIL_STUCK": thresholds(),
        "HANDRAIL_EAGER": "false",
        "HANDRAIL_LEASE_SECONDS": "2",
        "HANDRAIL_GRACE_SECONDS": "1",
        "HANDRAIL_DEFINITION_PATIENCE_SECONDS": "1",
        "HANDRAIL_REPLAY_CHECKS_PER_SECOND": "50",
        REGISTER_PORT: str(free_ports(1)[0]),
    }
    stage = Stage(deploy(modules=modules(*DECIDING, "agreed"), settings=settings))
    people = ("goals", "approvals", "signals", "control", "outcomes", "relay")
    stage.begin("office", *people, "activities", "--queues", "office,post")
    stage.begin("timer", "timer")
    stage.begin("yard", "activities", HANDRAIL_MODULES=modules("yard"))
    stage.begin("press", "activities", "--concurrency", "1", HANDRAIL_MODULES=modules("press"))
    stage.begin("forms", "activities", HANDRAIL_MODULES=modules("first_version"))
    stage.up(*stage.served)
    (agreed,) = stage.submit({Cause.REPLAY_MISMATCH.value: goal(Cause.REPLAY_MISMATCH)})
    stage.ended([agreed])
    stage.serve("projector", "projector", HANDRAIL_MODULES=modules(*DECIDING, "drifted"))
    until(lambda: stage.deployment.store.query("SELECT 1 FROM workflows"), "the views were never kept")
    with ExitStack() as stack:
        witness = Witness(
            stack.enter_context(Watch(stage.deployment)),
            projector=lambda: stage.served["projector"],
            others=lambda: stage.served["office"],
            thresholds={
                **dict.fromkeys(Cause, timedelta(0)),
                **dict.fromkeys(THRESHOLDS, THRESHOLD),
                Cause.PROJECTION_LAG: LAG,
            },
        )
        alerts = stack.enter_context(Alerts(rules=(RECORDING, STUCK))) if os.environ.get(ALERTS) else None
        if alerts is not None:
            alerts.watch(*(served.address for served in stage.served.values()))
            alerts.until_scraped()
        play = Play(stage, witness, stack, alerts)
        play.names[Cause.REPLAY_MISMATCH] = agreed
        witness.expect(Cause.REPLAY_MISMATCH, agreed)
        yield play


@pytest.mark.timeout(400)
def test_each_cause_is_told_as_it_is_and_mended_as_is_told(play: Play) -> None:
    while_all_else_serves(play)
    without_a_timer(play)
    without_a_projector(play)
    told = None if play.alerts is None else play.alerts.counted()
    print("", *measured_rows(play.witness.sights, told), sep="\n")
    assert play.witness.wrong == []
    assert told is None or told == {alert_of(cause): 1 for cause in Cause}
    assert play.witness.sights.keys() == set(Cause)
    late = [cause for cause, sight in play.witness.sights.items() if sight.latest_seconds > LATEST_SECONDS]
    assert not late


# --- the acts -------------------------------------------------------------------------------------------------------


def while_all_else_serves(play: Play) -> None:
    """Twelve causes at once; then each is mended by itself."""
    stage, vhost = play.stage, play.deployment.vhost
    play.ask(Cause.OUTCOME_UNKNOWN)
    play.begun("paying")
    stage.kill("yard")
    vhost.broker.ask("DELETE", "queues", vhost.name, activity_queue("post"))
    thief, crasher = play.meddle("ferry", keeping=True), play.meddle("mail", keeping=False)
    for cause in (
        Cause.COMMAND_LOST,
        Cause.NO_CONSUMER,
        Cause.DEAD_LETTERED,
        Cause.COMMAND_PARKED,
        Cause.RETRYING_TOO_LONG,
        Cause.INTERVENTION_NEEDED,
        Cause.COMPENSATION_FAILED,
        Cause.APPROVAL_OVERDUE,
        Cause.DEFINITION_MISSING,
    ):
        play.ask(cause)
    for times in range(ISSUED_IN_VAIN):  # once by itself, and then by each of these
        until(lambda times=times: len(thief.taken) > times, lambda: f"taken: {thief.taken}")
        play.deployment.run("reconcile")
    pages = play.flood()
    play.told(*(cause for cause in Cause if cause not in LATER))

    play.serve_as_told(Cause.NO_CONSUMER, "yard", HANDRAIL_MODULES=modules("yard"))
    play.serve_as_told(Cause.DEFINITION_MISSING, "new forms", module=modules("second_version"))
    play.serve_as_told(Cause.BACKLOG, "another press", HANDRAIL_MODULES=modules("press"))
    assert "write" in play.do_as_told(Cause.REPLAY_MISMATCH)
    assert stage.served["projector"].terminate() == 0
    stage.serve("projector", "projector")
    crasher.leave()
    play.do_as_told(Cause.DEAD_LETTERED)
    play.do_as_told(Cause.COMMAND_PARKED)
    thief.leave()
    stage.serve("ferry", "activities", HANDRAIL_MODULES=modules("ferry"))
    play.do_as_told(Cause.COMMAND_LOST)
    play.file(OPEN).touch()
    play.do_as_told(Cause.OUTCOME_UNKNOWN)
    play.do_as_told(Cause.APPROVAL_OVERDUE)
    play.file(MENDED).touch()
    play.do_as_told(Cause.COMPENSATION_FAILED, code=ExitCode.ENDED)
    shown = play.do_as_told(Cause.INTERVENTION_NEEDED)
    stage.typed(next(line.strip() for line in shown.splitlines() if "handrail retry" in line))
    assert "Connection refused" in play.do_as_told(Cause.RETRYING_TOO_LONG)
    with socket.create_server(("127.0.0.1", int(play.deployment.settings[REGISTER_PORT]))):
        for cause in play.mended:
            play.went_on(cause)
    stage.ended(pages)


def without_a_timer(play: Play) -> None:
    """What only the timer does is not done: nobody lapses a claim, and nothing falls due."""
    stage = play.stage
    play.file(OPEN).unlink()
    play.ask(Cause.LEASE_LAPSED)
    play.begun("lifting")
    stage.kill("timer")
    stage.kill("yard")
    play.ask(Cause.TIMER_OVERDUE)
    play.told(Cause.LEASE_LAPSED, Cause.TIMER_OVERDUE)
    play.file(OPEN).touch()
    stage.serve("yard", "activities", HANDRAIL_MODULES=modules("yard"))
    assert play.help(Cause.LEASE_LAPSED) == play.help(Cause.TIMER_OVERDUE)
    play.mended[Cause.LEASE_LAPSED] = time.time()
    play.serve_as_told(Cause.TIMER_OVERDUE, "timer")
    play.went_on(Cause.LEASE_LAPSED)
    play.went_on(Cause.TIMER_OVERDUE)


def without_a_projector(play: Play) -> None:
    """Whoever keeps the views cannot say that it is dead: all others do."""
    play.stage.kill("projector")
    play.witness.expect(Cause.PROJECTION_LAG, ALL_VIEWS)
    play.stage.ended([play.ask(Cause.PROJECTION_LAG)])
    play.told(Cause.PROJECTION_LAG)
    play.serve_as_told(Cause.PROJECTION_LAG, "projector")
    play.went_on(Cause.PROJECTION_LAG)
