"""The parts of a run over PostgreSQL and RabbitMQ: real serving processes, and the peers on the same database's server.

Everything is on (claims and outcomes durable, gate, digests, timers, relay, views, metrics), and the servers commit as
durably as they do by default. What is compared is measured in turn, in the same run.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy import process
from tests.benchmarks.figures import Figure, Report, fastest, quickest, spread
from tests.benchmarks.programs import ROOT, json_of
from tests.benchmarks.readings import IN_FLIGHT, LATENCY, OURS, PEERS, RATE, Plan, keep
from tests.benchmarks.recipes import CHAIN_STEPS
from tests.benchmarks.sending import median_milliseconds, open_sender
from tests.benchmarks.stand import Stand, resident_mebibytes, rest_for
from tests.integration.serving.deployment import Deployment

ON: Final = "stack, everything on"
ALL: Final = ("all",)
BROKER_ONLY: Final = {"HANDRAIL_EAGER": "false"}
RELAY_ONLY: Final = {"HANDRAIL_EAGER": "false", "HANDRAIL_STRAIGHT": "false"}
WAYS: Final[Mapping[str, Mapping[str, str]]] = {
    ON: {},
    "stack, each step by the broker": BROKER_ONLY,
    "stack, each step by relay and broker": RELAY_ONLY,
}
"""How a step reaches its consumer: claimed as it is scheduled where this process has room, published straight after the
commit, or left to the relay."""
EAGER, STRAIGHT, RELAY = WAYS

GOALS: Final = "goals_per_second"
CPU: Final = "cpu_us"
DECIDING: Final = ("goals", "approvals", "signals", "control", "outcomes", "relay", "timer", "projector", "http")
CONSUMERS: Final = (1, 2, 4)
_TRIAL_WORKFLOWS: Final = 40
_SETTLE_SECONDS: Final = 6.0
HEARTBEATS: Final = {"HANDRAIL_HEARTBEAT_SECONDS": "60"}
"""As users have it: a workflow a minute. Other readings go without."""
_PERIODS: Final = 3
"""So many times longer than elsewhere rest is measured: some of what is asked is asked once a minute."""
_PERCENT: Final = 100.0
_DBOS: Final = "dbos"
_TIMES_MEASURED: Final = {_DBOS: 2, "langgraph": 1}
"""How often a peer's script runs its workflows: DBOS's in threads and on the event loop; the faster one counts."""
_WARM_SHARE: Final = 0.3
"""The share of a long run after which its memory is first looked at: caches have filled by then."""


def stack(report: Report, folder: Path, plan: Plan) -> None:
    """chain5 on the real stack beside the peers; single chains at rest; goals accepted."""
    with Stand(folder) as stand:
        trials = {peer: _trial(stand, peer, plan.seconds) for peer in PEERS}
        for number in range(plan.rounds):
            order = [EAGER, *PEERS, STRAIGHT, RELAY]
            for what in order if number % 2 == 0 else reversed(order):
                if what in PEERS:
                    keep(report, what, ON, _peer(stand, what, trials[what]))
                else:
                    keep(report, OURS, what, _ours(stand, plan, WAYS[what]))
            keep(report, OURS, "goals", _goals(stand, plan))
    _compare(report)


def growing(report: Report, folder: Path, plan: Plan) -> None:
    """Throughput with one, two and four processes that run activities, beside one that does everything else.

    Each brings as many workflows in flight as the first has: turns of half the size would be compared otherwise.
    """
    with Stand(folder) as stand:
        for consumers in CONSUMERS:
            processes = [DECIDING, *[("activities",)] * consumers]
            with stand.deployed(*processes) as deployment:
                figures = _load(stand, deployment, plan.seconds, in_flight=IN_FLIGHT * consumers)
            keep(report, OURS, f"stack, {consumers} consumers", figures)
    one = report.of(OURS, "stack, 1 consumers", RATE)[-1]
    for consumers in CONSUMERS[1:]:
        rate = report.of(OURS, f"stack, {consumers} consumers", RATE)[-1]
        parts = f"{rate:.0f} steps/s against {one:.0f}; where the machine has no core to spare it stops growing"
        name = f"stack, {consumers} activity processes: times one"
        report.figures.append(Figure(name, rate / one, 0.5, parts=parts))


def soak(report: Report, folder: Path, plan: Plan) -> None:
    """The memory of each process over a long run."""
    with Stand(folder) as stand, stand.deployed(ALL, ("activities",)) as deployment:
        held: dict[int, list[tuple[float, float]]] = {one.process.pid: [] for one in deployment.processes}

        def look(seconds: float) -> None:
            for process_id, seen in held.items():
                if not seen or seconds - seen[-1][0] >= 1.0:
                    seen.append((seconds, resident_mebibytes(process_id)))

        figures = _load(stand, deployment, plan.soak_seconds, each_look=look)
        warm_at = plan.soak_seconds * _WARM_SHARE
        growths = []
        for seen in held.values():
            warm = max(size for seconds, size in seen if seconds <= warm_at or (seconds, size) == seen[0])
            growths.append(seen[-1][1] / warm)
        most = max(size for seen in held.values() for _, size in seen)
        keep(report, OURS, "soak", {**figures, "most_mebibytes": most, "growth": max(growths)})
    name = f"stack, memory of each process over {plan.soak_seconds:g} s"
    report.figures.append(Figure(f"{name}: most", most, 150.0, better="lower", unit=" MB"))
    report.figures.append(Figure(f"{name}: end, of what it was after {warm_at:g} s", max(growths), 1.1, better="lower"))


def quiet(report: Report, folder: Path, plan: Plan) -> None:
    """What all roles burn and ask while nothing happens, and with heartbeats: in one process, and each by itself."""
    alone = [(one,) for one in (*DECIDING, "activities")]
    for name, processes, settings in (
        ("in one process", [ALL], {}),
        ("in one process, with heartbeats", [ALL], HEARTBEATS),
        ("each by itself, with heartbeats", alone, HEARTBEATS),
    ):
        with (
            Stand(folder) as stand,
            stand.deployed(*processes, settings=settings) as deployment,
            stand.statements_counted() as count,
        ):
            process.run(_one_chain(deployment))
            rest_for(_SETTLE_SECONDS)
            count.begin()
            before = stand.burnt(deployment.processes)
            seconds = plan.rest_seconds * _PERIODS
            rest_for(seconds)
            share = (stand.burnt(deployment.processes) - before).serving / seconds * _PERCENT
            asked = len(count.statements()) / seconds
        keep(report, OURS, f"stack at rest, {name}", {"core_percent": share, "statements_per_second": asked})
        title = f"stack at rest, all roles {name}"
        if settings is not HEARTBEATS:
            report.figures.append(Figure(f"{title}: of a core", share, 2.0, better="lower", unit=" %"))
            report.figures.append(Figure(f"{title}: statements a second", asked, 2.0, better="lower"))


# --- readings -------------------------------------------------------------------------------------------------------


def _ours(stand: Stand, plan: Plan, settings: Mapping[str, str]) -> dict[str, Any]:
    with stand.deployed(ALL, settings=settings) as deployment:
        at_rest = process.run(_at_rest(deployment, plan.chains_at_rest))
        return {LATENCY: median_milliseconds(at_rest), **_load(stand, deployment, plan.seconds)}


def _load(stand: Stand, deployment: Deployment, seconds: float, **options: Any) -> dict[str, Any]:
    before = stand.burnt(deployment.processes)
    chains, took = process.run(_under_load(deployment, seconds, **options))
    burnt = stand.burnt(deployment.processes) - before
    steps = chains * CHAIN_STEPS
    sizes = [resident_mebibytes(one.process.pid) for one in deployment.processes]
    return {RATE: round(steps / took), "workflows": chains, **burnt.a_piece(steps), "mebibytes": round(max(sizes), 1)}


def _goals(stand: Stand, plan: Plan) -> dict[str, Any]:
    """Goals that wait in their queue when the process that takes them in begins."""
    with stand.deployed() as deployment:
        return process.run(_taken_in(stand, deployment, plan.goals))


async def _taken_in(stand: Stand, deployment: Deployment, goals: int) -> dict[str, Any]:
    async with open_sender(deployment) as sender:
        await sender.send(goals)
        deployment.serve("goals", ready=False)
        await sender.until_started(goals // 10)
        before = stand.burnt(deployment.processes)
        counted = sender.seen
        took = await sender.until_started(goals)
        burnt = stand.burnt(deployment.processes) - before
        return {GOALS: round((goals - counted) / took), **burnt.a_piece(goals - counted)}


async def _at_rest(deployment: Deployment, chains: int) -> list[float]:
    async with open_sender(deployment) as sender:
        await sender.chains_at_rest(3)
        return await sender.chains_at_rest(chains)


async def _one_chain(deployment: Deployment) -> None:
    async with open_sender(deployment) as sender:
        await sender.chains_at_rest(1)


async def _under_load(
    deployment: Deployment, seconds: float, in_flight: int = IN_FLIGHT, **options: Any
) -> tuple[int, float]:
    async with open_sender(deployment) as sender:
        return await sender.keep_in_flight(seconds=seconds, in_flight=in_flight, **options)


@dataclass(frozen=True, slots=True)
class _Trial:
    """A peer's short run: what its start and its chains at rest burn, and how many workflows make a reading."""

    burnt_seconds: float
    workflows: int


def _trial(stand: Stand, peer: str, seconds: float) -> _Trial:
    """The peers' scripts count workflows, not seconds: so many that a reading takes at least as long as asked for."""
    figures, burnt = _run(stand, peer, _TRIAL_WORKFLOWS)
    return _Trial(burnt, max(4 * _TRIAL_WORKFLOWS, math.ceil(1.2 * seconds * float(figures[RATE]) / CHAIN_STEPS)))


def _peer(stand: Stand, peer: str, trial: _Trial) -> dict[str, Any]:
    figures, burnt = _run(stand, peer, trial.workflows)
    steps = _TIMES_MEASURED[peer] * (trial.workflows - _TRIAL_WORKFLOWS) * CHAIN_STEPS
    return {**figures, CPU: round((burnt - trial.burnt_seconds) / steps * 1e6, 1)}


def _run(stand: Stand, peer: str, workflows: int) -> tuple[dict[str, Any], float]:
    script = ROOT / "tests" / "benchmarks" / "peers" / f"chain5_{peer}.py"
    with stand.database() as database, stand.children_burnt() as burnt:
        figures = json_of(script, database.admin_url, str(workflows), str(IN_FLIGHT))
    return figures, burnt[0]


# --- figures --------------------------------------------------------------------------------------------------------


def _compare(report: Report) -> None:
    ours = report.of(OURS, ON, RATE)
    for peer, floor, aim in ((_DBOS, 5.0, 8.0), ("langgraph", 3.0, None)):
        theirs = report.of(peer, ON, RATE)
        parts = f"{spread(ours)} steps/s against {spread(theirs)}"
        ratio = statistics.mean(ours) / statistics.mean(theirs)
        report.figures.append(Figure(f"stack, chain5: times {peer}", ratio, floor, aim, parts=parts))
        # What other programs of the machine take away changes the rates, and hardly this.
        costs, their_costs = report.of(OURS, ON, CPU), report.of(peer, ON, CPU)
        parts = f"{spread(costs)} µs of CPU a step, servers included, against {spread(their_costs)}"
        ratio = statistics.mean(their_costs) / statistics.mean(costs)
        report.figures.append(Figure(f"stack, chain5: CPU a step, {peer}'s by ours", ratio, floor, aim, parts=parts))
    peer, rate = fastest(report, PEERS, ON, RATE)
    for what in (STRAIGHT, RELAY):
        values = report.of(OURS, what, RATE)
        parts = f"{spread(values)} steps/s against {spread(report.of(peer, ON, RATE))}"
        name = f"{what}: times {peer}"
        report.figures.append(Figure(name, statistics.mean(values) / rate, 1.0, parts=parts))
    _, theirs_at_rest = quickest(report, [_DBOS], ON, LATENCY)
    for what, floor, aim in ((RELAY, 1.5, None), (STRAIGHT, 1.5, 1.0), (EAGER, 1.5, 1.0)):
        values = report.of(OURS, what, LATENCY)
        parts = f"{spread(values, '.1f')} ms against {theirs_at_rest:.1f} ms"
        ratio = statistics.mean(values) / theirs_at_rest
        name = f"{what}, one chain at rest: of dbos's latency"
        report.figures.append(Figure(name, ratio, floor, aim, better="lower", parts=parts))
    goals: Sequence[float] = report.of(OURS, "goals", GOALS)
    parts = f"{spread(report.of(OURS, 'goals', 'cpu_us'))} µs of CPU each, servers included"
    report.figures.append(Figure("stack, goals accepted a second", statistics.mean(goals), 1_000.0, parts=parts))
