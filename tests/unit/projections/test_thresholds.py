"""What an activity type says of how long its steps may take."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.activity_types import ActivityType
from domain.durations import LONGEST
from domain.policies import RetryPolicy
from projections.thresholds import LEARNT, SHIPPED, Limits, Thresholds, learn
from tests.unit.domain.recipes import act

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
BRIEF = replace(act("brief"), start_to_finish=SECOND, schedule_to_finish=SECOND, retry=RetryPolicy(max_attempts=1))
ENDLESS = replace(
    act("endless"),
    start_to_finish=LONGEST,
    schedule_to_finish=LONGEST,
    retry=RetryPolicy(max_attempts=1_000, initial_delay=LONGEST, maximum_delay=LONGEST),
)


def test_every_activity_type_says_those_that_are_learnt_and_no_others() -> None:
    for place, activity in enumerate((BRIEF, ENDLESS)):
        said = learn(activity)
        assert {name: getattr(said, name) for name in SHIPPED if getattr(said, name) is not None} == {
            name: between[place] for name, between in LEARNT.items()
        }


@pytest.mark.parametrize(
    ("activity", "expected"),
    [
        (act("plain"), Limits(start=HOUR, retrying=5 * MINUTE)),
        (replace(BRIEF, schedule_to_finish=50 * MINUTE), Limits(start=5 * MINUTE, retrying=5 * MINUTE)),
        # Five attempts of a minute, and the delays between them: 1, 2, 4, 8 and 10 minutes.
        (
            replace(
                BRIEF,
                start_to_finish=MINUTE,
                schedule_to_finish=2 * HOUR,
                retry=RetryPolicy(max_attempts=10, initial_delay=MINUTE, maximum_delay=10 * MINUTE),
            ),
            Limits(start=12 * MINUTE, retrying=30 * MINUTE),
        ),
        (
            replace(ENDLESS, retry=RetryPolicy(max_attempts=9, deadline=2 * HOUR)),
            Limits(start=HOUR, retrying=HOUR),
        ),
    ],
    ids=["by default", "by the time for all of it", "by attempts and delays", "by the deadline of retries"],
)
def test_they_are_learnt_from_its_time_outs_and_its_retry_policy(activity: ActivityType, expected: Limits) -> None:
    assert learn(activity) == expected


def test_what_is_learnt_holds_where_nothing_is_set_and_what_is_shipped_where_it_is_not_loaded() -> None:
    thresholds = Thresholds(learnt={"plain": learn(act("plain"))})
    assert thresholds.of("start", "orders", "plain") == HOUR
    assert thresholds.of("start", "orders", "unknown") == SHIPPED["start"]
