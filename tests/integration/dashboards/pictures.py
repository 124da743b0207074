"""`make pictures`: what the dashboards show of a real run, as pictures.

    python -m tests.integration.dashboards.pictures [FOLDER] [--seconds N]

Starts a RabbitMQ, a PostgreSQL, a Prometheus and Handrail's processes, makes the run of `run.py`, lets more goals come
for so many seconds, and draws each dashboard from the answers to its own queries.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from PIL import Image

from domain.messages import bodies
from tests.integration.dashboards.boards import Asked, boards
from tests.integration.dashboards.drawing import drawn
from tests.integration.dashboards.run import RECIPES, Run, run_on, settings
from tests.integration.serving.deployment import Deployment
from tests.integration.serving.test_serve_all import published
from tests.servers.fixtures import database_on, vhost_on
from tests.servers.postgres import own_cluster
from tests.servers.rabbitmq import own_broker

COMING: Final = ("pay an invoice", "pay an invoice", "pay an invoice", "ship an order", "refund an order")
OVER_SECONDS: Final = 10.0
COLOURS: Final = 128
FOLDER: Final = Path("build") / "pictures"


class Drawn:
    """A run, for the drawing: over time, with rates over a few scrapes, as a screen shows them."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def labelled(self, asked: Asked) -> list[tuple[dict[str, str], float]]:
        """What a query gives now; processes by their names here."""
        return [(self._named(labels), value) for labels, value in self._run.labelled(asked)]

    @property
    def span(self) -> tuple[float, float]:
        """From when to when it is drawn."""
        return self._run.began, self._run.ended

    def drawn(self, asked: Asked) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """What it gives over time."""
        step = OVER_SECONDS if "$__interval" in asked.expression else 1.0
        return self._run.over_time(asked, step=step, over=OVER_SECONDS)

    def _named(self, labels: dict[str, str]) -> dict[str, str]:
        return {name: self._run.names.get(value, value) for name, value in labels.items()}


def main() -> None:
    """Draw them."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.dashboards.pictures")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where the pictures go")
    parser.add_argument("--seconds", type=int, default=60, metavar="N", help="how long more goals come")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with deployed() as deployment, run_on(deployment) as run:
        let_come(deployment, given.seconds)
        run.look()
        for uid, board in boards().items():
            file = given.folder / f"{uid}.png"
            drawn(board, Drawn(run)).savefig(file)
            # So few colours take a third of the room.
            Image.open(file).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
            print(file)


@contextmanager
def deployed() -> Iterator[Deployment]:
    """A deployment on servers of its own."""
    cluster = own_cluster()
    broker = own_broker()
    try:
        cluster.ensure()
        broker.ensure()
        with (
            contextmanager(vhost_on)(broker) as vhost,
            contextmanager(database_on)(cluster) as database,
            tempfile.TemporaryDirectory() as folder,
        ):
            made = Deployment(vhost, database, Path(folder), modules=RECIPES, settings=settings(Path(folder)))
            try:
                yield made
            finally:
                made.end()
    finally:
        broker.leave()
        cluster.leave()


def let_come(deployment: Deployment, seconds: int) -> None:
    """A few goals each second, more and fewer by turns."""
    chance, pause, began = random.Random(7), threading.Event(), time.monotonic()
    for second in range(seconds):
        goals = {
            f"more-{second}-{number}": bodies.Goal(goal=chance.choice(COMING))
            for number in range(chance.randrange(1, 4 + second % 20 // 5))
        }
        asyncio.run(published(deployment, goals))
        pause.wait(max(0.0, began + second + 1 - time.monotonic()))


if __name__ == "__main__":
    main()
