"""The random driver reaches what it is meant to reach: every status and every wait, often enough to count."""

from __future__ import annotations

import os
from collections import Counter
from typing import Final, get_args

from domain.events import WaitReason
from domain.state import TERMINAL, Status
from tests.properties.chance import Seeded
from tests.properties.driver import Driver

EXAMPLES: Final = 2_000
SHARE: Final = 0.01
FIRST_SEED: Final = int(os.environ.get("HANDRAIL_SEED", "1"))


def test_every_status_and_every_wait_is_reached_in_one_example_of_a_hundred() -> None:
    seen: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for seed in range(FIRST_SEED, FIRST_SEED + EXAMPLES):
        try:
            driver = Driver(Seeded(seed), thorough=False)
            for _ in range(5 + driver.chance.below(40)):
                driver.step()
            driver.check_history()
            driver.finish()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        seen.update(driver.seen)
        ended[driver.state.status.value] += 1
    wanted = [status.value for status in Status if status is not Status.NEW]
    wanted += [f"wait:{reason}" for reason in get_args(WaitReason)]
    print(f"\nof {EXAMPLES} examples from seed {FIRST_SEED} on, so many reached")
    for name in wanted:
        print(f"  {name:24} {seen[name]:5} {seen[name] / EXAMPLES:7.1%}")
    rare = [name for name in wanted if seen[name] < SHARE * EXAMPLES]
    assert not rare
    assert {status.value for status in TERMINAL} == set(ended)
