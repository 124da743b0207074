"""Which faults come when: three streams of them, endless, each a function of the seed alone.

Streams run side by side, so that faults of different servers overlap by chance; within one they come one by one, for
whoever has just been killed cannot be killed. A stream goes through its kinds in rounds, each in an order of its own,
so that no kind is left behind.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LEASE_SECONDS: Final = 3.0
"""How long a claim holds in these runs: faults are to outlast it."""
LONGEST_STOP_SECONDS: Final = 8.0
"""No process is stopped, and no line stalled, for longer."""


class Kind(StrEnum):
    """What is done to the stack. The values are what the figures call it."""

    WORKER_KILLED = "worker killed (SIGKILL)"
    ROLE_KILLED = "another role killed (SIGKILL)"
    WORKER_STOPPED = "worker stopped past its lease (SIGSTOP)"
    BROKER_KILLED = "broker killed (-9) and restarted"
    QUEUES_PURGED = "all queues purged"
    QUEUES_DELETED = "all queues deleted"
    BROKER_CUT = "broker's connections cut"
    BROKER_STALLED = "broker's connections stalled"
    DATABASE_FAST = "PostgreSQL stopped (fast)"
    DATABASE_IMMEDIATE = "PostgreSQL stopped (immediate)"
    DATABASE_SUSPENDED = "PostgreSQL suspended (SIGSTOP)"
    DATABASE_CUT = "PostgreSQL's connections cut"
    DATABASE_STALLED = "PostgreSQL's connections stalled"


@dataclass(frozen=True)
class Fault:
    """One fault: how long after the one before it in its stream, and how long it lasts, in seconds."""

    kind: Kind
    pause_seconds: float
    lasts_seconds: float
    number: float
    """From 0 to 1: which of several victims it takes, and which way of two."""


@dataclass(frozen=True)
class Stream:
    """Faults that come one after the other: their kinds, each with how long it lasts at least and at most."""

    name: str
    kinds: tuple[tuple[Kind, float, float], ...]
    pause_seconds: tuple[float, float]

    def faults(self, seed: int) -> Iterator[Fault]:
        """All faults of a seed, without end."""
        chance = random.Random(f"{self.name} {seed}")
        while True:
            kinds = list(self.kinds)
            chance.shuffle(kinds)
            for kind, least, most in kinds:
                pause = chance.uniform(*self.pause_seconds)
                yield Fault(kind, pause, chance.uniform(least, most), chance.random())


def streams(*, hurried: bool) -> tuple[Stream, ...]:
    """The streams of a run; a hurried one pauses less in between."""
    return (
        Stream(
            "processes",
            (
                (Kind.WORKER_KILLED, 0.0, 0.0),
                (Kind.ROLE_KILLED, 0.0, 0.0),
                (Kind.WORKER_STOPPED, LEASE_SECONDS * 1.5, LEASE_SECONDS * 2.2),
            ),
            (0.5, 2.5) if hurried else (3.0, 20.0),
        ),
        Stream(
            "broker",
            (
                (Kind.BROKER_KILLED, 0.0, 1.0),
                (Kind.QUEUES_PURGED, 0.0, 0.0),
                (Kind.QUEUES_DELETED, 0.0, 1.0),
                (Kind.BROKER_CUT, 0.0, 0.0),
                (Kind.BROKER_STALLED, 1.0, LONGEST_STOP_SECONDS / 2 if hurried else LONGEST_STOP_SECONDS),
            ),
            (0.5, 2.5) if hurried else (2.0, 10.0),
        ),
        Stream(
            "database",
            (
                (Kind.DATABASE_FAST, 0.0, 2.0),
                (Kind.DATABASE_IMMEDIATE, 0.0, 2.0),
                (Kind.DATABASE_SUSPENDED, 0.5, 2.0 if hurried else LONGEST_STOP_SECONDS),
                (Kind.DATABASE_CUT, 0.0, 0.0),
                (Kind.DATABASE_STALLED, 0.5, LONGEST_STOP_SECONDS / 2 if hurried else LONGEST_STOP_SECONDS),
            ),
            # As the measure was set: away for 0 to 2 s, every 5 to 40 s; a hurried run is at the low end.
            (0.5, 2.5) if hurried else (5.0, 10.0),
        ),
    )
