"""Other policies on random worlds: the same in other words change nothing, and what is told is in the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.opened import open_store
from domain.definitions import Definition
from projections.replaying.whatif import UNKNOWN, Asked, WhatIf
from projections.replaying.whatif_changes import CHANGES
from projections.replaying.whatif_policies import OtherPolicies
from tests.properties import worlds
from tests.properties.chance import Seeded
from tests.properties.driver import Driver
from tests.unit.domain.scenario import Loaded
from tests.unit.projections.replaying.test_checking import put

SEEDS = range(120)
DECISIONS = 40


def driven(seed: int) -> Driver:
    driver = Driver(Seeded(seed), thorough=False)
    for _ in range(DECISIONS):
        driver.step()
    return driver


def asked(driver: Driver, folder: Path, document: Any) -> Asked:
    store = open_store(folder, Loaded())
    try:
        put(store, driver.history)
        policies = OtherPolicies(document, driver.known.known.values(), "file")
        asking = WhatIf(store.reading, store.mapper.read, driver.known, policies)
        (answer,) = asking.over([driver.workflow.id])
        assert list(asking.over([driver.workflow.id])) == [answer]
        return answer
    finally:
        store.close()


def in_other_words(definition: Definition) -> dict[str, Any]:
    """The same policies: gates give another reason, and somebody may decide who never does."""
    policies = {**definition.approvals, definition.default_approval.name: definition.default_approval}
    return {
        "gates": {one.name: {**one.model_dump(), "reason": "in other words"} for one in definition.gates},
        "approvals": {
            name: {**one.model_dump(), "approvers": [*one.approvers, "nobody"]} for name, one in policies.items()
        },
        "activities": {
            name: {"retry": one.retry.model_dump(mode="json")} for name, one in definition.activities.items()
        },
    }


def of_another_world(seed: int, definition: Definition) -> dict[str, Any]:
    """The gates, approvals and retries that another world has."""
    other = worlds.definition(Seeded(seed + 10_000))
    kept = {"name", "version"}
    return {
        "without_gates": [one.name for one in definition.gates],
        "new_gates": {f"other-{one.name}": one.model_dump(exclude=kept) for one in other.gates},
        "approvals": {
            name: other.approvals[name].model_dump(exclude=kept)
            for name in definition.approvals
            if name in other.approvals
        },
        "activities": {"*": {"retry": {"max_attempts": 1 + seed % 3}}},
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_policies_in_other_words_change_nothing(seed: int, tmp_path: Path) -> None:
    driver = driven(seed)
    answer = asked(driver, tmp_path, in_other_words(driver.definition))
    assert answer.change is None, answer.change
    # An input that author code computed is not in the record where the gate denied the step.
    assert answer.unjudged in {"", UNKNOWN}, answer.why
    assert answer.unjudged or answer.events == len(driver.history)


def test_hardly_anything_is_unknown_and_other_policies_do_change_ways(tmp_path: Path) -> None:
    kinds, unknown = set[str](), 0
    for seed in SEEDS:
        driver = driven(seed)
        answer = asked(driver, tmp_path / str(seed), of_another_world(seed, driver.definition))
        assert answer.unjudged in {"", UNKNOWN}, answer.why
        unknown += answer.unjudged == UNKNOWN
        if answer.change is not None:
            kinds.add(answer.change.kind)
            assert 1 < answer.change.version <= len(driver.history) + 1
            assert answer.change.recorded != answer.change.decided
    assert {"gate_asks", "gate_opens", "retry_stops"} <= kinds <= set(CHANGES)
    assert unknown < len(SEEDS) / 10
