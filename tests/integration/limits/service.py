"""A service on the loopback that is down until it is brought up, and keeps a book of who called it when."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

ATTEMPT_HEADER = "Attempt"
PROCESS_HEADER = "Process"


@dataclass(frozen=True)
class Call:
    """When it came by the service's clock, in seconds; of which attempt and process; whether it was answered."""

    at: float
    attempt: str
    process: str
    answered: bool


@dataclass
class Service:
    """The service. Down, it answers every call with 503."""

    port: int = 0
    up: bool = False
    calls: list[Call] = field(default_factory=list)

    def answer(self, attempt: str, process: str) -> int:
        """Write a call down; the status that answers it."""
        answered = self.up
        self.calls.append(Call(time.time(), attempt, process, answered))
        return 200 if answered else 503

    def calls_one_by_one(self, seconds: float) -> int:
        """How many calls, of the last ones, came alone: each so long after the one before it."""
        alone = 0
        for before, after in reversed(list(pairwise(self.calls))):
            if after.at - before.at < seconds:
                break
            alone += 1
        return alone


class _Server(ThreadingHTTPServer):
    request_queue_size = 512  # a burst of calls is taken at once: one that is not comes again seconds later


@contextmanager
def serving() -> Iterator[Service]:
    """The service, as long as the block runs."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = service.answer(self.headers[ATTEMPT_HEADER], self.headers[PROCESS_HEADER])
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """The book is enough."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        service.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()


def busiest(instants: Sequence[float], seconds: float) -> int:
    """The most of these instants within any span of so many seconds, the span's end left out."""
    most, first = 0, 0
    in_order = sorted(instants)
    for last, at in enumerate(in_order):
        while at - in_order[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
