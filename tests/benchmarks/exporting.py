"""A million events exported and verified: rate by processor time, and the most memory that each took.

The histories are a few that the engine decided, recorded anew under other ids: each with digests of its own. What is
measured are the real programs, each in a process of its own.
"""

from __future__ import annotations

import contextlib
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from deploy.loading import LoadedDefinitions
from deploy.opened import open_store
from domain.chain import GENESIS
from domain.recorded import RecordedEvent, record, stamp
from tests.benchmarks.figures import Figure, Report
from tests.benchmarks.programs import ProgramFailed
from tests.benchmarks.readings import OURS, Plan, keep
from tests.integration.exports.stock import fill, histories, key_of

MEBIBYTES_AT_MOST: Final = 200.0
TEMPLATES: Final = 24
FILLED_AT_ONCE: Final = 1_000
LOOK_SECONDS: Final = 0.02
FORMS: Final = ("csv", "cloudevents", "ocel", "xes", "otlp")

_HANDRAIL: Final = ("-m", "deploy.cli")
_ALONE: Final = str(Path(__file__).parents[2] / "deploy" / "verify_export.py")
_ROOT: Final = str(Path(__file__).parents[2])


def exporting(report: Report, folder: Path, plan: Plan) -> None:
    """Fill a home, export it in each format, and verify what was exported."""
    home = folder / "exported"
    events = _fill(home, plan.exported)
    for what, options in (
        ("export jsonl", ()),
        ("export jsonl, redacted", ("--redact", "iban")),
        *((f"export {form}", ("--format", form)) for form in FORMS),
    ):
        file = folder / what.replace(", ", "-").replace(" ", "-")
        _measure(report, what, (*_HANDRAIL, "export", "--all", *options, "--home", str(home), "-o", str(file)), events)
        if what != "export jsonl":
            file.unlink()
    for what, program in (("verify", (*_HANDRAIL, "verify")), ("verify_export.py", (_ALONE,))):
        _measure(report, what, (*program, str(folder / "export-jsonl")), events)


def _measure(report: Report, what: str, arguments: tuple[str, ...], events: int) -> None:
    figures = measured(what, arguments, events)
    keep(report, OURS, what, figures)
    parts = f"{events} events, {figures['events_per_cpu_second']:,} a second of processor time"
    name = f"{what}: memory at most"
    mebibytes = figures["mebibytes_at_most"]
    report.figures.append(Figure(name, mebibytes, MEBIBYTES_AT_MOST, better="lower", unit=" MiB", parts=parts))


def measured(what: str, arguments: Sequence[str], events: int) -> dict[str, Any]:
    """Run a program over so many events: its rate by the clock and by processor time, and the most memory it had."""
    began = time.perf_counter()
    program = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    mebibytes, before = 0.0, resource.getrusage(resource.RUSAGE_CHILDREN)
    while program.poll() is None:
        # Of the program alone: what the system keeps of an ended child counts this process as well.
        mebibytes = max(mebibytes, _most_mebibytes(program.pid))
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(timeout=LOOK_SECONDS)
    took = time.perf_counter() - began
    if program.returncode != 0:
        raise ProgramFailed(f"{what} ended with {program.returncode}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    burnt = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return {
        "events": events,
        "events_per_second": round(events / took),
        "events_per_cpu_second": round(events / burnt),
        "mebibytes_at_most": round(mebibytes, 1),
    }


def _most_mebibytes(pid: int) -> float:
    """The most memory that a process has had so far; 0 where it has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found is not None else 0.0


# --- filling --------------------------------------------------------------------------------------------------------


def _fill(home: Path, events: int) -> int:
    """Put at least so many events into a home; how many they are."""
    store = open_store(home, LoadedDefinitions())
    try:
        made, batch = 0, list[list[RecordedEvent]]()
        for history in _many():
            batch.append(history)
            made += len(history)
            if len(batch) == FILLED_AT_ONCE or made >= events:
                fill(store, batch)
                batch = []
            if made >= events:
                break
        return made
    finally:
        store.close()


def _many() -> Iterator[list[RecordedEvent]]:
    """Histories without end, each under an id of its own."""
    templates = histories(TEMPLATES, decisions=12)
    for number, template in enumerate(cycle(templates), start=1):
        yield _again(template, f"wf_{number:07d}")


def _again(template: list[RecordedEvent], workflow_id: str) -> list[RecordedEvent]:
    key, previous, recorded = key_of(workflow_id), GENESIS, list[RecordedEvent]()
    for one in template:
        stamped = stamp(workflow_id, one.timestamp, one.cause, one.actor, one.decision)
        recorded.append(record(one.event, stamped, one.originator_version, previous, key))
        previous = recorded[-1].digest
    return recorded
