"""Attempts as Prometheus hears of them: how long they waited and ran, how they ended; a bounded number of series."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from consumers.activities import Bounds
from consumers.metrics import BUCKETS_SECONDS, OUTCOMES, ActivityMetrics
from domain.definitions import ActivityType, activity
from domain.errors import Denied, NeedsApproval, Permanent
from domain.ports import Command
from tests.unit.consumers.stage import BEGINNING, Workshop

Given = dict[str, Any]
WAITED = timedelta(seconds=5)


@activity(effect="pure")
async def plain(given: Given) -> Given:
    return given


@activity(effect="pure")
async def refuse(given: Given) -> Given:
    raise Permanent("no")


@activity(effect="pure")
async def ask(given: Given) -> Given | NeedsApproval:
    return NeedsApproval("a large sum")


@activity(effect="pure")
async def deny(given: Given) -> Given | Denied:
    return Denied("on the list")


class Told:
    """A registry, and what it says."""

    def __init__(self, *activities: str) -> None:
        self.registry = CollectorRegistry()
        self.metrics = ActivityMetrics(self.registry, activities)

    def of(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def series(self) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
        for family in self.registry.collect():
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    yield sample.name, tuple(sample.labels.items())


def scheduled(shop: Workshop, one: ActivityType, **options: Any) -> Command:
    command = shop.command(one, **options)
    command.scheduled_at = BEGINNING - WAITED
    return command


async def test_an_attempt_is_counted_with_what_it_waited_and_what_it_took() -> None:
    told, shop = Told("plain"), Workshop(plain)
    shop.runner.meter = told.metrics
    await shop.run(scheduled(shop, plain))
    assert told.of("handrail_step_schedule_to_start_seconds_sum", activity="plain") == WAITED.total_seconds()
    assert told.of("handrail_step_execution_seconds_count", activity="plain") == 1
    assert told.of("handrail_activity_attempts_total", activity="plain", outcome="ok") == 1


@pytest.mark.parametrize(
    ("one", "outcome"),
    [(refuse, "permanent"), (ask, "needs_approval"), (deny, "denied")],
    ids=lambda one: getattr(one, "name", one),
)
async def test_every_ending_has_its_outcome(one: ActivityType, outcome: str) -> None:
    told, shop = Told(one.name), Workshop(one)
    shop.runner.meter = told.metrics
    await shop.run(scheduled(shop, one))
    counted = {each: told.of("handrail_activity_attempts_total", activity=one.name, outcome=each) for each in OUTCOMES}
    assert counted == {each: float(each == outcome) for each in OUTCOMES}


async def test_what_never_ran_has_not_taken_any_time() -> None:
    told, shop = Told("plain"), Workshop(plain)
    shop.runner.meter = told.metrics
    await shop.run(scheduled(shop, plain, expires_in=timedelta(0)))
    assert told.of("handrail_step_schedule_to_start_seconds_count", activity="plain") == 0
    assert told.of("handrail_step_execution_seconds_count", activity="plain") == 0
    assert told.of("handrail_activity_attempts_total", activity="plain", outcome="timeout") == 1


async def test_a_command_that_does_not_say_when_it_was_scheduled_is_not_guessed_at() -> None:
    told, shop = Told("plain"), Workshop(plain)
    shop.runner.meter = told.metrics
    await shop.run(shop.command(plain))
    assert told.of("handrail_step_schedule_to_start_seconds_count", activity="plain") == 0
    assert told.of("handrail_step_execution_seconds_count", activity="plain") == 1


async def test_clocks_that_differ_make_no_negative_wait() -> None:
    told, shop = Told("plain"), Workshop(plain)
    shop.runner.meter = told.metrics
    command = scheduled(shop, plain)
    command.scheduled_at = BEGINNING + WAITED
    await shop.run(command)
    assert told.of("handrail_step_schedule_to_start_seconds_sum", activity="plain") == 0


async def test_an_attempt_that_was_given_up_and_ends_after_all_is_counted_once() -> None:
    let_go = asyncio.Event()

    @activity(effect="pure", start_to_finish=timedelta(milliseconds=1))
    async def stubborn(given: Given) -> Given:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return given

    told, shop = Told("stubborn"), Workshop(stubborn, bounds=Bounds(give_up_seconds=0.001))
    shop.runner.meter = told.metrics
    command = scheduled(shop, stubborn)
    shop.runner.start([command])
    async with asyncio.timeout(10):
        await shop.decisions.asked.wait()
    let_go.set()
    await shop.over([command])
    assert len(shop.decisions.outcomes) == 2
    counted = {
        each: told.of("handrail_activity_attempts_total", activity="stubborn", outcome=each) for each in OUTCOMES
    }
    assert counted == {each: float(each == "timeout") for each in OUTCOMES}


def test_every_activity_type_has_its_series_from_the_beginning_and_no_more_than_45() -> None:
    told = Told("a", "b")
    for name in ("a", "b"):
        of = [series for series in told.series() if ("activity", name) in series[1]]
        assert len(of) == 45
    assert (BUCKETS_SECONDS[0], BUCKETS_SECONDS[-1]) == (0.01, 86_400)


async def test_handrails_own_attempts_are_in_no_count() -> None:
    told, shop = Told(), Workshop(plain)
    command = scheduled(shop, plain)
    command.definition = "handrail-heartbeat"
    told.metrics.began(command, BEGINNING)
    told.metrics.ended(command, "ok", 1.0)
    assert not [labels for _, labels in told.series() if labels]
    command.definition = "demo"
    told.metrics.ended(command, "ok", 1.0)
    assert told.of("handrail_activity_attempts_total", activity="plain", outcome="ok") == 1


async def test_what_is_under_way_is_asked_for_when_it_is_told() -> None:
    told = Told()
    assert (told.of("handrail_attempts_running"), told.of("handrail_commands_waiting")) == (0, 0)
    told.metrics.running, told.metrics.waiting = (lambda: 3), (lambda: 4)
    assert (told.of("handrail_attempts_running"), told.of("handrail_commands_waiting")) == (3, 4)
