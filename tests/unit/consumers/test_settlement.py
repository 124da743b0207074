"""How a delivery is settled, cell by cell."""

import pytest

from consumers.settlement import SETTLEMENTS, Delivered, Settlement, of_row, settle


def test_every_case_is_decided() -> None:
    assert set(SETTLEMENTS) == set(Delivered)


@pytest.mark.parametrize(
    ("delivered", "settlement"),
    [
        (Delivered.OUTCOME_RECORDED, Settlement.ACKNOWLEDGE),
        (Delivered.NOT_OPEN, Settlement.ACKNOWLEDGE),
        (Delivered.UNKNOWN, Settlement.ACKNOWLEDGE),
        (Delivered.CLAIMED, Settlement.ACKNOWLEDGE),
        (Delivered.RUNNING_HERE, Settlement.ACKNOWLEDGE),
        (Delivered.DEFINITION_MISSING, Settlement.ACKNOWLEDGE),
        (Delivered.NO_ROOM, Settlement.KEEP),
        (Delivered.STORE_UNAVAILABLE, Settlement.KEEP),
        (Delivered.DEFERRED, Settlement.ACKNOWLEDGE),
        (Delivered.LET_GO, Settlement.ACKNOWLEDGE),
        (Delivered.ENDING, Settlement.GIVE_BACK),
        (Delivered.UNREADABLE, Settlement.BURY),
        (Delivered.DIFFERING, Settlement.BURY),
        (Delivered.FOREIGN, Settlement.BURY),
    ],
)
def test_settlement(delivered: Delivered, settlement: Settlement) -> None:
    assert settle(delivered) is settlement


def test_only_the_message_itself_brings_it_to_the_dead_queue() -> None:
    buried = {one for one in Delivered if settle(one) is Settlement.BURY}
    assert buried == {Delivered.UNREADABLE, Delivered.DIFFERING, Delivered.FOREIGN, Delivered.EPOCH_PASSED}


@pytest.mark.parametrize(
    ("state", "delivered"),
    [
        (None, Delivered.UNKNOWN),
        ("claimed", Delivered.CLAIMED),
        ("handed_over", Delivered.CLAIMED),
        ("done", Delivered.NOT_OPEN),
        ("revoked", Delivered.NOT_OPEN),
        ("lapsed", Delivered.NOT_OPEN),
    ],
)
def test_a_row_says_what_its_delivery_means(state: str | None, delivered: Delivered) -> None:
    assert of_row(state) is delivered
