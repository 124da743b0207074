"""When workflows are called stuck: what is set, and what the loaded activity types say of themselves."""

from __future__ import annotations

from collections.abc import Iterable

from deploy.settings import StuckAfter, StuckSettings
from domain.definitions import Definition
from projections.thresholds import Limits, Thresholds, learn


def thresholds_of(settings: StuckSettings, definitions: Iterable[Definition]) -> Thresholds:
    """The thresholds of this process."""
    return Thresholds(
        default=_limits(settings),
        definitions={name: _limits(one) for name, one in settings.definitions.items()},
        activities={name: _limits(one) for name, one in settings.activities.items()},
        learnt={name: learn(one) for definition in definitions for name, one in definition.activities.items()},
    )


def _limits(settings: StuckAfter) -> Limits:
    return Limits(**{name: getattr(settings, name) for name in StuckAfter.model_fields})
