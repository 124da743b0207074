"""Whoever Alertmanager tells: takes notifications in on the loopback address."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Notification:
    """One message of Alertmanager's: to which receiver, of which group, and the alerts in it.

    `status` is `firing` as long as one of them fires, else `resolved`.
    """

    receiver: str
    status: str
    group: str
    alerts: tuple[Mapping[str, Any], ...]

    @property
    def firing(self) -> list[Mapping[str, str]]:
        """The labels of those that fire."""
        return [one["labels"] for one in self.alerts if one["status"] == "firing"]

    @property
    def names(self) -> set[str]:
        """The names of its alerts."""
        return {one["labels"]["alertname"] for one in self.alerts}


class Webhook:
    """Listens while it is entered."""

    def __init__(self) -> None:
        self._notifications: list[Notification] = []
        self._came = threading.Lock()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                webhook.take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: what comes is looked at by the test."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="webhook", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, said: Mapping[str, Any]) -> None:
        """Take a notification in."""
        with self._came:
            self._notifications.append(
                Notification(said["receiver"], said["status"], said["groupKey"], tuple(said["alerts"]))
            )

    @property
    def notifications(self) -> list[Notification]:
        """All that came so far, in order."""
        with self._came:
            return list(self._notifications)
