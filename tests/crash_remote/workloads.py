"""The workflows of the chaos runs, where processes are killed and never stopped: a killed one sends nothing any more.

So whether a charge was applied may be asked soon after its lease.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.chaos import workloads as chaos

SETTLE_SECONDS = 0.2

plain, slow, unprobed, retrying = chaos.plain, chaos.slow, chaos.unprobed, chaos.retrying
approved, rejected, signalled = chaos.approved, chaos.rejected, chaos.signalled
family, child = chaos.family, chaos.child
probed, lost, compensating = chaos.charging(replace(chaos.charge, settle_after=timedelta(seconds=SETTLE_SECONDS)))
