"""Acknowledging many at once: with as few frames as say exactly what was settled, and never a tag more."""

import gc
import random

from consumers.tally import Held, Settled, Settlement, Tally
from domain.transport import Delivery

ACKNOWLEDGED, REJECTED, GIVEN_BACK = Settled.ACKNOWLEDGED, Settled.REJECTED, Settled.GIVEN_BACK


def tally_of(last: int) -> tuple[Tally, dict[int, Held]]:
    tally = Tally(lambda: None)
    return tally, {tag: tally.add(tag, 0.0, Delivery("q", b"")) for tag in range(1, last + 1)}


def acknowledge(held: dict[int, Held], *tags: int) -> None:
    for tag in tags:
        held[tag].delivery.acknowledge()


def test_all_in_a_row_are_one_frame() -> None:
    tally, held = tally_of(5)
    acknowledge(held, 2, 1, 3)
    assert tally.take() == [Settlement(ACKNOWLEDGED, 3, multiple=True)]
    acknowledge(held, 4)
    assert tally.take() == [Settlement(ACKNOWLEDGED, 4)]
    assert tally.take() == []


def test_what_is_held_below_is_never_covered() -> None:
    tally, held = tally_of(5)
    acknowledge(held, 3, 1, 5)
    assert tally.take() == [Settlement(ACKNOWLEDGED, 1), Settlement(ACKNOWLEDGED, 3), Settlement(ACKNOWLEDGED, 5)]
    acknowledge(held, 2, 4)
    assert tally.take() == [Settlement(ACKNOWLEDGED, 4, multiple=True)]


def test_a_tag_that_nobody_has_seen_is_never_covered() -> None:
    tally = Tally(lambda: None)
    held = {tag: tally.add(tag, 0.0, Delivery("q", b"")) for tag in (1, 2, 4)}
    acknowledge(held, 1, 2, 4)
    assert tally.take() == [Settlement(ACKNOWLEDGED, tag) for tag in (1, 2, 4)]


def test_what_is_rejected_or_given_back_is_told_before_what_covers_it() -> None:
    tally, held = tally_of(4)
    held[2].delivery.reject()
    held[3].give_back()
    acknowledge(held, 1, 4)
    told = [Settlement(REJECTED, 2), Settlement(GIVEN_BACK, 3), Settlement(ACKNOWLEDGED, 4, multiple=True)]
    assert tally.take() == told


def test_a_delivery_is_settled_once_and_not_without_its_channel() -> None:
    moved: list[int] = []
    tally = Tally(lambda: moved.append(1))
    held = [tally.add(tag, 0.0, Delivery("q", b"")) for tag in (1, 2)]
    held[0].delivery.acknowledge()
    held[0].delivery.reject()
    assert tally.take() == [Settlement(ACKNOWLEDGED, 1)]
    assert tally.lost == 0
    tally.close()
    assert not held[1].open
    held[1].delivery.acknowledge()
    assert tally.take() == []
    assert tally.lost == 1
    assert len(moved) == 1


def test_a_broker_that_reads_the_frames_knows_exactly_what_was_settled() -> None:
    for seed in range(300):
        chance = random.Random(seed)
        tally, held = tally_of(40)
        outstanding, acknowledged, others = set(held), set[int](), set[int]()
        meant: set[int] = set()
        order = chance.sample(sorted(held), 40)
        while order:
            for tag in [order.pop() for _ in range(min(len(order), chance.randint(1, 7)))]:
                if chance.random() < 0.2:
                    held[tag].delivery.reject()
                else:
                    held[tag].delivery.acknowledge()
                    meant.add(tag)
            for told in tally.take():
                # The broker closes a channel over a tag that is not outstanding.
                assert told.tag in outstanding, seed
                covered = {tag for tag in outstanding if tag <= told.tag} if told.multiple else {told.tag}
                outstanding -= covered
                (acknowledged if told.kind is ACKNOWLEDGED else others).update(covered)
            assert acknowledged == meant, seed
        assert not outstanding


def test_a_settled_delivery_is_gone_without_the_collector() -> None:
    """Serving processes hardly ever collect: what waits for it would fill their memory."""
    gc.collect()
    gc.disable()
    try:
        tally, held = tally_of(2)
        held[1].settle(True)
        held[2].delivery.reject()
        del held, tally
        assert gc.collect() == 0
    finally:
        gc.enable()
