"""When workflows are called stuck: what is set, and what the loaded activity types say of themselves."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from deploy.settings import StuckAfter, StuckSettings
from domain.builtin import is_hidden
from domain.definitions import Definition
from projections.thresholds import Limits, Thresholds, learn

_ALIKE: Final = 0.6


def thresholds_of(settings: StuckSettings, definitions: Iterable[Definition]) -> Thresholds:
    """The thresholds of this process."""
    return Thresholds(
        default=_limits(settings),
        definitions={name: _limits(one) for name, one in settings.definitions.items()},
        activities={name: _limits(one) for name, one in settings.activities.items()},
        learnt={name: learn(one) for definition in definitions for name, one in definition.activities.items()},
    )


def unknown_names(settings: StuckSettings, definitions: Iterable[Definition]) -> list[str]:
    """A line for each name that thresholds are set for and that nothing loaded here has, with the name that is nearest.

    Other processes may have loaded more, so it is only told.
    """
    loaded = [one for one in definitions if not is_hidden(one.name)]
    groups = (
        ("definitions", "definition", settings.definitions, {one.name for one in loaded}),
        ("activities", "activity type", settings.activities, {name for one in loaded for name in one.activities}),
    )
    return [
        _told(group, kind, name, known)
        for group, kind, named, known in groups
        for name in sorted(named)
        if name not in known
    ]


def _told(group: str, kind: str, name: str, known: set[str]) -> str:
    alike = difflib.get_close_matches(name, sorted(known), n=1, cutoff=_ALIKE)
    meant = f"is {alike[0]!r} meant?" if alike else "take it out, or load the module that has it"
    return (
        f"[stuck.{group}] sets thresholds for {name[:80]!r}, and no {kind} that is loaded here has that name: {meant}"
    )


def _limits(settings: StuckAfter) -> Limits:
    return Limits(**{name: getattr(settings, name) for name in StuckAfter.model_fields})
