"""The parts of a run: each takes its readings, by programs of their own, and adds its figures to the report."""

from __future__ import annotations

import math
import shutil
import statistics
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.figures import Figure, Reading, Report, fastest, quickest, spread
from tests.benchmarks.programs import ROOT, ProgramFailed, cpu_share, json_of, running, watched

OURS: Final = "handrail"
PEERS: Final = ("langgraph", "dbos")
ON: Final = "everything on"
STOPPED: Final = "projector stopped"
RATE: Final = "steps_per_second"
LATENCY: Final = "chain_latency_ms_p50"

IN_FLIGHT: Final = 50
_STEPS: Final = 5
_TRIAL_WORKFLOWS: Final = 60
_SETTLE_SECONDS: Final = 3.0
_PERCENT: Final = 100.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. `times` is how many long workflows, `waiting` and `blocked` how many that wait.

    `goals` are those that wait in their queue, `chains_at_rest` those that run alone on the real stack, where
    `soak_seconds` is how long memory is watched, `workflows` how many the views hold in the part `large`, and
    `exported` how many events are exported, `replayed` how many are decided again, `pairs` how often appending with the
    chain of digests is held against appending without.
    """

    seconds: float
    rounds: int
    steps: int
    times: int
    waiting: int
    blocked: int
    rest_seconds: float
    goals: int = 5_000
    chains_at_rest: int = 60
    soak_seconds: float = 600.0
    workflows: int = 1_000_000
    exported: int = 1_000_000
    replayed: int = 200_000
    pairs: int = 9

    def with_options(self, **options: float | None) -> Plan:
        """The plan with what was asked for on the command line; None is what was not."""
        asked: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        return replace(self, **asked)


# --- chain5, beside the peers ---------------------------------------------------------------------------------------


def chains(report: Report, folder: Path, plan: Plan) -> None:
    """chain5 by us and the peers in turn; then ratios."""
    report.notes["synchronous of the peers"] = json_of("-m", "tests.benchmarks.synchronous", _fresh(folder))
    workflows = {peer: _enough_workflows(peer, folder, plan.seconds) for peer in PEERS}
    for number in range(plan.rounds):
        # Turned round every other time, so that nobody always comes after the same one.
        order = [ON, *PEERS, STOPPED] if number % 2 == 0 else [STOPPED, *reversed(PEERS), ON]
        for what in order:
            if what in PEERS:
                figures = _peer(what, folder, workflows[what])
                keep(report, what, ON, figures)
            else:
                figures = _ours(folder, plan.seconds, views=what == ON)
                report.notes["synchronous of handrail"] = figures["synchronous"]
                keep(report, OURS, what, figures)
    _compare(report)


def _compare(report: Report) -> None:
    peer, rate = fastest(report, PEERS, ON, RATE)
    for what, floor, aim in ((ON, 10.0, 15.0), (STOPPED, 15.0, None)):
        ours = report.of(OURS, what, RATE)
        parts = f"{spread(ours)} steps/s against {peer}'s {spread(report.of(peer, ON, RATE))}"
        ratio = statistics.mean(ours) / rate
        report.figures.append(Figure(f"chain5, {what}: times the fastest peer", ratio, floor, aim, parts=parts))
    peer, latency = quickest(report, PEERS, ON, LATENCY)
    ours = report.of(OURS, ON, LATENCY)
    parts = f"{spread(ours, '.2f')} ms against {peer}'s {spread(report.of(peer, ON, LATENCY), '.2f')} ms"
    ratio = statistics.mean(ours) / latency
    report.figures.append(
        Figure("one chain at rest: latency, of the fastest peer's", ratio, 0.75, 0.5, better="lower", parts=parts)
    )


def _ours(folder: Path, seconds: float, *, views: bool) -> dict[str, Any]:
    options = [] if views else ["--without-views"]
    with_seconds = ["--seconds", str(seconds), "--in-flight", str(IN_FLIGHT)]
    return json_of("-m", "tests.benchmarks.chain5", _fresh(folder), *with_seconds, *options)


def _peer(peer: str, folder: Path, workflows: int) -> dict[str, Any]:
    script = ROOT / "tests" / "benchmarks" / "peers" / f"chain5_{peer}.py"
    file = _fresh(folder) / "peer.db"
    store = f"sqlite:///{file}" if peer == "dbos" else str(file)
    return json_of(script, store, str(workflows), str(IN_FLIGHT))


def _enough_workflows(peer: str, folder: Path, seconds: float) -> int:
    """So many that a reading takes at least as long as asked for: the peers' scripts count workflows, not seconds."""
    rate = float(_peer(peer, folder, _TRIAL_WORKFLOWS)[RATE])
    return max(_TRIAL_WORKFLOWS, math.ceil(1.2 * seconds * rate / _STEPS))


# --- what only we are asked -----------------------------------------------------------------------------------------


def aging(report: Report, folder: Path, plan: Plan) -> None:
    """The last steps of a long workflow against its first."""
    options = ["--steps", str(plan.steps), "--times", str(plan.times)]
    figures = json_of("-m", "tests.benchmarks.aging", _fresh(folder), *options)
    keep(report, OURS, "aging", figures)
    parts = (
        f"{figures['first_ms_a_step']} ms a step, then {figures['last_ms_a_step']} ms; "
        f"each workflow: {', '.join(map(str, figures['ratios']))}"
    )
    name = f"last {figures['window']} of {plan.steps} steps: of the first {figures['window']}"
    report.figures.append(Figure(name, figures["ratio"], 1.2, better="lower", parts=parts))


def approve(report: Report, folder: Path, plan: Plan) -> None:
    """`handrail approve` from a cold start, in a home where many workflows wait."""
    home = _fresh(folder)
    filled = json_of("-m", "tests.benchmarks.waiting", home, str(plan.waiting), limit_seconds=3_600.0)
    command = [sys.executable, "-m", "deploy.cli.main", "approve", filled["one"], "--by", "manager"]
    ended = watched([*command, "--home", str(home), "--module", "tests.benchmarks.recipes"])
    if ended.code != 0 or "[step] decide=ok" not in ended.output:
        raise ProgramFailed(f"approve ended with {ended.code}: {ended.errors or ended.output}")
    figures = {"wall_seconds": ended.wall_seconds, "peak_mebibytes": ended.peak_mebibytes, **filled}
    keep(report, OURS, "approve", figures)
    name = f"approve one of {filled['waiting']} waiting"
    report.figures.append(Figure(f"{name}: time", ended.wall_seconds, 2.0, better="lower", unit=" s"))
    report.figures.append(Figure(f"{name}: memory", ended.peak_mebibytes, 200.0, better="lower", unit=" MB"))


def rest(report: Report, folder: Path, plan: Plan) -> None:
    """What a runtime burns while nothing happens, with nothing in its home, and with many that are blocked."""
    for blocked in (0, plan.blocked):
        home = _fresh(folder)
        if blocked:
            json_of("-m", "tests.benchmarks.waiting", home, str(blocked))
        with running("-m", "tests.benchmarks.resting", home) as process:
            cpu_share(process, _SETTLE_SECONDS)
            share = cpu_share(process, plan.rest_seconds) * _PERCENT
        keep(report, OURS, f"rest, {blocked} blocked", {"core_percent": share})
        name = f"at rest, {blocked} blocked: of a core"
        report.figures.append(Figure(name, share, 2.0, better="lower", unit=" %"))


def keep(report: Report, who: str, what: str, figures: dict[str, Any]) -> None:
    """Add a reading to the report, and show it as it is taken."""
    numbers = {name: value for name, value in figures.items() if isinstance(value, int | float)}
    report.add(Reading(who, what, numbers))
    print(f"{who:10} {what:18} {numbers}", file=sys.stderr, flush=True)


def _fresh(folder: Path) -> Path:
    """An empty folder for one reading; the one before it is gone, so that nobody's disk fills."""
    shutil.rmtree(folder / "reading", ignore_errors=True)
    place = folder / "reading"
    place.mkdir()
    return place
