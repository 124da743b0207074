"""The harness itself, in a blink: what it says of figures, and that what it measures runs at all."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from domain.events import ApprovalGranted, RetryScheduled
from domain.recorded import RecordedEvent, verify
from domain.replay import decide_again
from domain.store.mapper import event_mapper
from tests.benchmarks import run
from tests.benchmarks.chain5 import events_behind, measure
from tests.benchmarks.exporting import exporting
from tests.benchmarks.figures import Figure, Reading, Report, fastest, quickest, spread
from tests.benchmarks.programs import ProgramFailed
from tests.benchmarks.readings import Plan
from tests.benchmarks.recipes import CHAIN, CLAIMS, WAITING
from tests.benchmarks.replaying import histories, without_chain
from tests.unit.domain.scenario import Loaded

RATE = "steps_per_second"


@pytest.mark.parametrize(
    ("value", "better", "verdict"),
    [
        (9.99, "higher", "MISSED"),
        (10.0, "higher", "ok"),
        (14.9, "higher", "ok"),
        (15.0, "higher", "aim"),
        (15.1, "lower", "MISSED"),
        (15.0, "lower", "ok"),
        (10.1, "lower", "ok"),
        (10.0, "lower", "aim"),
    ],
)
def test_a_figure_is_held_against_floor_and_aim(value: float, better: str, verdict: str) -> None:
    floor, aim = (10.0, 15.0) if better == "higher" else (15.0, 10.0)
    figure = Figure("f", value, floor, aim, better=better)  # type: ignore[arg-type]
    assert figure.verdict == verdict
    assert figure.missed == (verdict == "MISSED")


def test_ratios_are_against_the_best_peer_by_its_mean() -> None:
    report = Report()
    for who, value in [("a", 100.0), ("a", 300.0), ("b", 250.0), ("b", 160.0)]:
        report.add(Reading(who, "x", {RATE: value}))
    assert fastest(report, ["a", "b"], "x", RATE) == ("b", 205.0)
    assert quickest(report, ["a", "b"], "x", RATE) == ("a", 200.0)
    assert spread(report.of("a", "x", RATE)) == "200 (100, 300)"


def passing(report: Report, _: Path, plan: Plan) -> None:
    report.figures.append(Figure("passing", plan.seconds, 1.0))


def missing(report: Report, _: Path, __: Plan) -> None:
    report.figures.append(Figure("missing", 1.0, 10.0, parts="1 against 1"))


def failing(_: Report, __: Path, ___: Plan) -> None:
    raise ProgramFailed("it broke")


@pytest.mark.parametrize(
    ("parts", "code"),
    [({"one": passing}, 0), ({"one": passing, "two": missing}, 1), ({"one": missing, "two": failing}, 2)],
)
def test_the_exit_code_tells_floors_missed_from_what_could_not_be_measured(
    parts: dict[str, run.Part],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(run, "PARTS", parts)
    file = tmp_path / "readings.json"
    assert run.main(["--quick", "--seconds", "2", "--json", str(file), "--folder", str(tmp_path)]) == code
    written = json.loads(file.read_text())
    said = capsys.readouterr()
    assert ("missing" in said.out) == (missing in parts.values())
    assert [figure["verdict"] for figure in written["figures"]] == [
        "ok" if part is passing else "MISSED" for part in parts.values() if part is not failing
    ]
    assert ("it broke" in said.err) == (failing in parts.values())


async def test_chain5_runs_with_everything_on(tmp_path: Path) -> None:
    measured = await measure(tmp_path, seconds=0.05, in_flight=4, views=True, at_rest=2)
    assert measured["workflows"] >= 4
    assert measured["synchronous"] == "FULL"
    assert events_behind(tmp_path) == 0


def test_exports_are_measured(tmp_path: Path) -> None:
    report = Report()
    exporting(report, tmp_path, replace(run.QUICK, exported=300))
    assert [figure.name.partition(":")[0] for figure in report.figures] == [
        "export jsonl", "export jsonl, redacted", "export csv", "export cloudevents", "export ocel", "export xes",
        "export otlp", "verify", "verify_export.py",
    ]  # fmt: skip
    assert all(figure.value > 10.0 for figure in report.figures)
    assert all(reading.figures["events"] >= 300 for reading in report.readings)


def test_what_is_replayed_is_what_the_engine_decides() -> None:
    known = Loaded({(one.name, one.version): one for one in (CHAIN, CLAIMS, WAITING)})
    made = list(islice(histories(), 5))
    for history in made:
        verify(history)
        assert decide_again(history, known) is None
    kinds = {type(one.event) for history in made for one in history}
    assert {RetryScheduled, ApprovalGranted} <= kinds


def test_without_the_chain_no_digest_is_made_or_stored() -> None:
    def longest() -> list[RecordedEvent]:
        return max(islice(histories(), 5), key=len)

    with without_chain():
        bare = longest()
        rows = [event_mapper().to_row(one).state for one in bare]
    assert {(one.digest, one.payload_digest) for one in bare} == {("", "")}
    assert rows == [b"\n".join((one.header, one.payload)) for one in longest()]
