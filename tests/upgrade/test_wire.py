"""Messages of an older version are read as they were meant, and those of a newer one as far as they are known."""

from typing import Any

import pytest

from tests.upgrade.samples import WIRE, as_read, delivery, lines, wire

each_sample = pytest.mark.parametrize("sample", lines(WIRE), ids=lambda one: f"{one['type']}-{one['sample']}")


@each_sample
def test_what_an_older_version_sent_is_read_as_it_read_it(sample: dict[str, Any]) -> None:
    """A later version may understand more; what was understood stays, and so does what makes a repeat a repeat."""
    read = as_read(delivery(sample))
    assert {name: read["body"].get(name) for name in sample["read"]["body"]} == sample["read"]["body"]
    assert read["digest"] == sample["read"]["digest"]


@each_sample
def test_fields_and_headers_of_a_newer_version_change_nothing_of_what_is_known(sample: dict[str, Any]) -> None:
    read = as_read(delivery(sample, later={"deep": [1]}, much_later=1.5))
    assert read["body"] == as_read(delivery(sample))["body"]
    if sample["type"] == "handrail.step.run.v1":
        # A consumer of this version is to run what a newer relay sends: it must not take it for another command.
        assert read["digest"] == sample["read"]["digest"]


def test_there_is_a_sample_of_every_type_that_is_read() -> None:
    assert {(one["type"], one["sample"]) for one in wire()} <= {(one["type"], one["sample"]) for one in lines(WIRE)}
