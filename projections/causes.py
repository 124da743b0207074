"""The causes that a workflow can be stuck by: a closed list, which metrics, alerts and the runbook share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Cause(StrEnum):
    """Why a workflow is stuck. `projection_lag` is of the views as a whole: it is computed where they are read."""

    NO_CONSUMER = "no_consumer"
    BACKLOG = "backlog"
    LEASE_LAPSED = "lease_lapsed"
    RETRYING_TOO_LONG = "retrying_too_long"
    DEAD_LETTERED = "dead_lettered"
    COMMAND_PARKED = "command_parked"
    COMMAND_LOST = "command_lost"
    TIMER_OVERDUE = "timer_overdue"
    APPROVAL_OVERDUE = "approval_overdue"
    OUTCOME_UNKNOWN = "outcome_unknown"
    INTERVENTION_NEEDED = "intervention_needed"
    COMPENSATION_FAILED = "compensation_failed"
    DEFINITION_MISSING = "definition_missing"
    REPLAY_MISMATCH = "replay_mismatch"
    PROJECTION_LAG = "projection_lag"


@dataclass(frozen=True, slots=True)
class Stuck:
    """Why a workflow is stuck, by which step (empty: the workflow itself), and since when that has been so.

    `since` is when the hold began that is stuck; `key` names the hold.
    """

    cause: Cause
    since: datetime
    step: str = ""
    key: str = ""
