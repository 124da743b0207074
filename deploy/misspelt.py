"""Variables of the environment that are called as ours are and mean nothing: most likely settings with a slip in them.

A file of settings refuses such a name. The environment is shared with others, so there it is only told.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from typing import Final

from deploy.settings import Settings

_PREFIX: Final = "HANDRAIL_"
_NO_SETTINGS: Final = frozenset({"SETTINGS", "HOME", "MODULES", "DEBUG", "SECRETS_DIR", "CRASH", "PROPERTIES", "SEED"})
_FAMILIES: Final = ("SECRET_", "FAULT_", "TEST_", "CRASH_", "CHAOS_")
"""How the names begin that an author chooses, and those of Handrail's own tests."""
_OF_SERVICES: Final = re.compile(r"(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT(_[0-9]+_(TCP|UDP|SCTP)\w*)?)")
"""What Kubernetes sets for a service that is called handrail, or handrail-something."""
_ALIKE: Final = 0.6


def misspelt(environment: Mapping[str, str] = os.environ) -> list[str]:
    """A line for each variable that means nothing here, with the name that is nearest; never with its value."""
    settings = {name.upper() for name in Settings.model_fields}
    unknown = [
        given
        for given in sorted(environment)
        if given.upper().startswith(_PREFIX) and not _is_known(given.upper().removeprefix(_PREFIX), settings)
    ]
    return [_told(name, settings | _NO_SETTINGS) for name in unknown]


def nearest(given: str, known: Iterable[str]) -> str:
    """A question for the one that may have been meant, behind a colon; empty where nothing is like it."""
    alike = difflib.get_close_matches(given, sorted(known), n=1, cutoff=_ALIKE)
    return f": is {alike[0]!r} meant?" if alike else ""


def _is_known(name: str, settings: set[str]) -> bool:
    return (
        name in settings
        or name in _NO_SETTINGS
        or name.startswith(_FAMILIES)
        or _OF_SERVICES.fullmatch(name) is not None
    )


def _told(given: str, known: set[str]) -> str:
    alike = difflib.get_close_matches(given.upper().removeprefix(_PREFIX), sorted(known), n=1, cutoff=_ALIKE)
    meant = f"is {_PREFIX}{alike[0]} meant? Otherwise unset it" if alike else "unset it"
    return f"the environment has {given[:80]}, which is no setting of Handrail and does nothing: {meant}"
