"""The intakes, on PostgreSQL."""

from tests.unit.consumers.conftest import other, process
from tests.unit.consumers.test_foreign import *  # noqa: F403 - each of its tests
from tests.unit.consumers.test_intake import *  # noqa: F403 - each of its tests
from tests.unit.consumers.test_intake_trouble import (
    test_another_process_may_be_first_with_the_same_id,
    test_nothing_is_settled_that_is_not_in_the_store,
    test_two_processes_take_in_one_decision_once,
    test_what_was_decided_before_the_trouble_is_settled,
)

__all__ = [
    "other",
    "process",
    "test_another_process_may_be_first_with_the_same_id",
    "test_nothing_is_settled_that_is_not_in_the_store",
    "test_two_processes_take_in_one_decision_once",
    "test_what_was_decided_before_the_trouble_is_settled",
]
