"""How far the times that people set may reach: beyond that, no date can be reckoned with any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

LONGEST: Final = timedelta(days=36_525)
"""A hundred years. What is to be longer is to be never: leave it out, where that is possible."""

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 9_800
"""Beyond these years, converting between zones and adding what may be set leave what a date can be."""
