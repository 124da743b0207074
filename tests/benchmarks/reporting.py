"""The report of a workflow of ten thousand events: how long the real program takes for the folder, and its size.

The workflow is what the engine decides of the long chain: plans of five hundred steps, every tenth tried twice, the
last one failing for good.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from deploy.loading import LoadedDefinitions
from deploy.opened import open_store
from domain.failures import FailureClass, make_failure
from domain.ids import PLAN_STEP
from domain.recorded import RecordedEvent
from domain.triggers import Given, RecordOutcome, StartWorkflow, Trigger, Wake
from domain.workflow import Workflow
from tests.benchmarks.exporting import measured
from tests.benchmarks.figures import Figure, Report
from tests.benchmarks.readings import OURS, Plan, keep
from tests.benchmarks.recipes import LONG, NOTE, ROUND_STEPS
from tests.integration.exports.stock import fill

EVENTS: Final = 10_000
SECONDS_AT_MOST: Final = 5.0
_TRIED_TWICE: Final = 10
_BEGINNING: Final = datetime(2030, 1, 1, tzinfo=UTC)
_WORKFLOW: Final = "wf_001"


def reporting(report: Report, folder: Path, plan: Plan) -> None:
    """Fill a home with the workflow, and make its report, several times."""
    home, made = folder / "reported", folder / "report"
    history = list(long_history())
    store = open_store(home, LoadedDefinitions())
    fill(store, [history])
    store.close()
    events = len(history)
    command = (
        "-m", "deploy.cli", "report", _WORKFLOW, "--home", str(home), "--module", "tests.benchmarks.recipes",
        "-o", str(made),
    )  # fmt: skip
    for _ in range(plan.rounds):
        shutil.rmtree(made, ignore_errors=True)
        keep(report, OURS, "report", measured("report", command, events))
    seconds = statistics.mean(events / rate for rate in report.of(OURS, "report", "events_per_second"))
    memory = max(report.of(OURS, "report", "mebibytes_at_most"))
    sizes = {path.suffix: path.stat().st_size / 1_000_000 for path in sorted(made.iterdir())}
    parts = ", ".join(f"{suffix} {size:.1f} MB" for suffix, size in sizes.items())
    parts = f"{events} events; {parts}; memory at most {memory:.0f} MiB"
    report.figures.append(
        Figure("report of 10,000 events: seconds", seconds, SECONDS_AT_MOST, better="lower", unit=" s", parts=parts)
    )


def long_history(events: int = EVENTS) -> Iterator[RecordedEvent]:
    """At least so many events of the long chain; the last step that is tried fails."""
    workflow, at = Workflow(_WORKFLOW), _BEGINNING

    def tell(trigger: Trigger, seconds: float) -> None:
        nonlocal at
        at += timedelta(seconds=seconds)
        workflow.handle(Given(trigger, at, f"cause-{workflow.version}", "worker"), LONG)

    def outcome(step: str, attempt: int, *, failed: FailureClass | None = None) -> RecordOutcome:
        output = {"i": 1, "ok": True, "note": NOTE}
        parts = (
            {"status": "ok", "output": output}
            if failed is None
            else {"status": "failed", "failure": make_failure(step, failed, "the line is busy", type_name="Busy")}
        )
        told = {"step": step, "kind": "run", "attempt": attempt, "worker": "worker", "claimed_at": at, **parts}
        return RecordOutcome.model_validate({**told, "started_at": at, "finished_at": at + timedelta(seconds=0.4)})

    start = StartWorkflow(
        goal="ten thousand events", definition=LONG.name, definition_version=LONG.version,
        input={"steps": events}, requested_by="ada",
    )  # fmt: skip
    tell(start, 0)
    number = 0
    while workflow.version < events:
        if number % ROUND_STEPS == 0:
            planned = [
                {
                    "id": f"step{i}",
                    "activity": "step",
                    "input": {"i": i},
                    "after": [f"step{i - 1}"] if i > number else [],
                }
                for i in range(number, number + ROUND_STEPS)
            ]
            attempt = workflow.state.steps[PLAN_STEP].live
            proposal = {"steps": planned, "done": False}
            tell(
                RecordOutcome(
                    step=PLAN_STEP, kind="plan", attempt=attempt.attempt if attempt is not None else 1, status="ok",
                    output=proposal, worker="worker",
                ),
                0.5,
            )  # fmt: skip
        step = f"step{number}"
        if number % _TRIED_TWICE == 0:
            tell(outcome(step, 1, failed=FailureClass.TRANSIENT), 0.5)
            tell(Wake(), 60)
        tell(outcome(step, 2 if number % _TRIED_TWICE == 0 else 1), 0.5)
        number += 1
    tell(outcome(f"step{number}", 1, failed=FailureClass.PERMANENT), 0.5)
    yield from workflow.collect_events()
