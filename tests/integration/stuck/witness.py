"""Whoever watches what is stuck: holds `handrail stuck --watch --json` and /metrics to what may be told."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from deploy.cli.stuck import ALL_VIEWS
from projections.causes import Cause
from tests.integration.serving.deployment import Deployment, Served, until
from tests.integration.serving.test_metrics import Scrape

ENDS_SECONDS = 20.0
SCRAPED_EVERY_SECONDS = 0.5
SHOWN = "handrail_workflows_stuck"
LAG = "handrail_follower_lag_seconds"


class Watch:
    """`handrail stuck --watch --json` in a process of its own, and all that it has printed."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._said: list[tuple[float, list[dict[str, Any]]]] = []
        self._read = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", "stuck", "--watch", "--json"],
            cwd=self._deployment.folder,
            env=self._deployment.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(ENDS_SECONDS)
        self._thread.join(ENDS_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        text = ""
        for line in self._process.stdout:
            text += line
            if line.startswith("]") or line == "[]\n":
                self._said.append((time.time(), json.loads(text)))
                text = ""

    @property
    def heard(self) -> bool:
        """Whether it has printed anything; it does so first of all, and then whenever that changes."""
        return bool(self._said)

    def new(self) -> list[tuple[float, list[dict[str, Any]]]]:
        """What it has printed since the last time, each with when it was read."""
        assert self._process.poll() is None, "handrail stuck --watch has ended"
        found = self._said[self._read :]
        self._read += len(found)
        return found


@dataclass
class Sight:
    """When a cause was told first, by `handrail stuck` and on /metrics, in seconds after its threshold."""

    help: str
    workflow_id: str
    told_seconds: float
    from_when: float
    shown_seconds: float | None = None
    gone_seconds: float = 0.0
    """How long after the remedy `handrail stuck` told it no more."""

    @property
    def latest_seconds(self) -> float:
        """When both had told it."""
        return max(self.told_seconds, self.shown_seconds or 0.0)


@dataclass
class Witness:
    """What is told, at each moment, held against what may be told; `wrong` is what may not."""

    watch: Watch
    projector: Callable[[], Served]
    others: Callable[[], Served]
    """Any process that tells how far behind the views are."""
    thresholds: Mapping[Cause, timedelta]
    expected: dict[str, Cause] = field(default_factory=dict)
    """By workflow; its definition is named after the cause."""
    sights: dict[Cause, Sight] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    told: set[tuple[str, Cause]] = field(default_factory=set)
    """What `handrail stuck` says now."""
    shown: set[Cause] = field(default_factory=set)
    """What /metrics says now."""
    _first_shown: dict[Cause, float] = field(default_factory=dict)
    _gone: dict[Cause, float] = field(default_factory=dict)
    _scraped_at: float = 0.0

    def expect(self, cause: Cause, *workflow_ids: str) -> None:
        """These may be stuck by this, and by nothing else."""
        self.expected |= dict.fromkeys(workflow_ids, cause)

    def look(self) -> Self:
        """Read what is new."""
        for at, rows in self.watch.new():
            self.told = {(row["workflow_id"], Cause(row["cause"])) for row in rows}
            for row in rows:
                self._read(at, row)
            now = {cause for _, cause in self.told}
            self._gone = {cause: self._gone.get(cause, at) for cause in self.sights.keys() - now}
        if time.time() - self._scraped_at >= SCRAPED_EVERY_SECONDS:
            self._scrape()
            self._scraped_at = time.time()
        return self

    def _read(self, at: float, row: Mapping[str, Any]) -> None:
        cause, name = Cause(row["cause"]), row["workflow_id"]
        if self.expected.get(name) is not cause:
            self._wrong(f"handrail stuck: {name} of {row['definition']!r}, {cause}, since {row['since']}")
            return
        from_when = datetime.fromisoformat(row["since"]).timestamp() + self.thresholds[cause].total_seconds()
        self.sights.setdefault(cause, Sight(row["help"], name, at - from_when, from_when))

    def _scrape(self) -> None:
        now = time.time()
        try:
            samples = Scrape(self.projector()).samples
        except OSError:
            samples = {}
        self.shown = set()
        for (name, labels), value in samples.items():
            if name == SHOWN and value:
                self._take(now, **dict(labels))
        lag = Scrape(self.others()).of(LAG, follower="views") or 0.0
        if lag > self.thresholds[Cause.PROJECTION_LAG].total_seconds():
            self._take(now, definition=ALL_VIEWS, cause=Cause.PROJECTION_LAG)
        for cause, sight in self.sights.items():
            if sight.shown_seconds is None and cause in self._first_shown:
                sight.shown_seconds = self._first_shown[cause] - sight.from_when

    def _take(self, now: float, *, definition: str, cause: str) -> None:
        self.shown.add(Cause(cause))
        self._first_shown.setdefault(Cause(cause), now)
        named_after = cause if definition == ALL_VIEWS else definition.replace(" ", "_")
        if named_after != cause or Cause(cause) not in self.expected.values():
            self._wrong(f"/metrics: {definition!r} is stuck by {cause}")

    def _wrong(self, words: str) -> None:
        if words not in self.wrong:
            self.wrong.append(words)

    # --- waiting ----------------------------------------------------------------------------------------------------

    def until_told(self, *causes: Cause) -> None:
        """Wait until both say all of these."""

        def missing() -> list[str]:
            self.look()
            return [cause for cause in causes if cause not in self.sights or self.sights[cause].shown_seconds is None]

        until(lambda: not missing(), lambda: f"not told: {missing()}; told otherwise: {self.wrong}")

    def until_gone(self, cause: Cause, since: float) -> None:
        """Wait until neither tells this any more; `since` is when it was mended."""

        def told() -> bool:
            self.look()
            return cause in self.shown or any(one is cause for _, one in self.told)

        until(lambda: not told(), lambda: f"{cause} is still told: {self.told}; told otherwise: {self.wrong}")
        self.sights[cause].gone_seconds = self._gone[cause] - since
