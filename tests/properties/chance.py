"""Where a property's choices come from: Hypothesis, which shrinks them, or a seed, which is fast."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

from hypothesis import strategies as st

Thing = TypeVar("Thing")


class Chance(Protocol):
    """Draws numbers; the smaller ones stand for what is simpler."""

    def below(self, bound: int) -> int:
        """A number from 0 up to, and without, the bound."""
        ...


class Seeded:
    """Chance from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, bound: int) -> int:
        return self._random.randrange(bound)


class Drawn:
    """Chance from Hypothesis."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def below(self, bound: int) -> int:
        return self._data.draw(st.integers(0, bound - 1)) if bound > 1 else 0


def one_of(chance: Chance, things: Sequence[Thing]) -> Thing:
    """One of the things; the first is the simplest."""
    return things[chance.below(len(things))]


def one_in(chance: Chance, times: int) -> bool:
    """True once in so many times; False is the simpler."""
    return chance.below(times) == times - 1


def weighted(chance: Chance, things: Sequence[tuple[int, Thing]]) -> Thing:
    """One of the things, each as likely as its weight."""
    number = chance.below(sum(weight for weight, _ in things))
    for weight, thing in things:
        number -= weight
        if number < 0:
            return thing
    raise AssertionError(number)
