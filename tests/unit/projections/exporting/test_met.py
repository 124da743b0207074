"""What a file named before is known, in both verifiers, in little memory."""

import pytest

from deploy import verify_export
from projections.exporting import met

NAMES = [f"wf_{number}" for number in range(20_000)]


@pytest.mark.parametrize("make", [met.Met, verify_export.Met])
def test_each_is_met_once(make: type[met.Met] | type[verify_export.Met]) -> None:
    known = make()
    assert not any(map(known.again, NAMES))
    assert all(map(known.again, NAMES))
    assert not known.again("wf_20000")


def test_it_holds_no_names() -> None:
    known = met.Met()
    for name in NAMES:
        known.again(name)
    assert len(known._table) * known._table.itemsize <= 32 * len(NAMES)
