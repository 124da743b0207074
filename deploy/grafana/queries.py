"""PromQL, as the panels ask it: what is told of the store by several processes counts once, instants become ages.

Every query is of one deployment: one `job`, as in `deploy/prometheus`. What the process that leads the projector tells,
and what every process tells of the store alike, is the largest of what they say (`told`); what happened in each process
is summed up (`per_minute`, `in_range`).
"""

from __future__ import annotations

from typing import Final

DEAD: Final = 'queue=~"handrail[.]dead[.].+|handrail[.]unrouted"'
"""The queues where what could not be accepted lies."""
WORK: Final = 'queue=~"handrail[.]activity[.].+"'
"""The queues where step commands wait."""
OPEN: Final = 'status!~"completed|failed|cancelled|compensated"'
"""The statuses of workflows that have not ended."""

_DEPLOYMENT: Final = 'job="$job"'
_MINUTE: Final = "60 *"


def of(metric: str, *labels: str) -> str:
    """The series of a metric of this deployment with these labels: `status="open"`."""
    return f"{metric}{{{', '.join((_DEPLOYMENT, *labels))}}}"


def told(metric: str, *labels: str, by: str = "") -> str:
    """A gauge that several processes may tell alike, by these labels."""
    return f"max{_by(by)} ({of(metric, *labels)})"


def summed(metric: str, *labels: str, by: str = "", each: str) -> str:
    """The same, summed up by fewer labels than tell its series apart (`each`)."""
    return f"sum{_by(by)} ({told(metric, *labels, by=each)})"


def age(metric: str, *labels: str, by: str = "") -> str:
    """How long ago the instant was that a gauge tells; nothing where it tells 0, which is no instant."""
    return f"time() - ({told(metric, *labels, by=by)} > 0)"


def per_minute(metric: str, *labels: str, by: str = "") -> str:
    """How often a minute something was counted, over all processes."""
    return f"{_MINUTE} sum{_by(by)} (rate({of(metric, *labels)}[$__rate_interval]))"


def in_range(metric: str, *labels: str, by: str = "") -> str:
    """How often something was counted in the time that the dashboard shows, over all processes."""
    return f"sum{_by(by)} (increase({of(metric, *labels)}[$__range]))"


def quantile(share: float, metric: str, *labels: str, by: str = "", over: str = "$__rate_interval") -> str:
    """What this share of a histogram's measurements stays below; nothing where nothing was measured."""
    buckets = of(f"{metric}_bucket", *labels)
    return f"histogram_quantile({share}, sum{_by(f'le, {by}' if by else 'le')} (rate({buckets}[{over}]))) >= 0"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
