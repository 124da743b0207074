"""Why a person's decision was refused, as a word of a closed list: what is recorded is a sentence, with names in it."""

from __future__ import annotations

import re
from typing import Final

from domain.events import DecisionRefused

ACT: Final = "act"
"""An operator's act, not a decision on an approval."""
OTHER: Final = "other"

# The first that fits decides.
_WORDS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (r"^it quotes |^round \d+ is closed$", "out_of_date"),
        (r"^it comes after the deadline", "late"),
        (r"may not decide this$", "not_allowed"),
        (r"four eyes are needed$", "four_eyes"),
        (r"has already decided in this round$", "decided_twice"),
        (r"^it was already ", "decided_before"),
        (r"^the workflow is ", "ended"),
        (r"^there is no such approval$", "unknown"),
    )
)
REASONS: Final = (*dict.fromkeys(word for _, word in _WORDS), ACT, OTHER)


def reason_of(refused: DecisionRefused) -> str:
    """The word for it: one of REASONS."""
    if refused.decision not in {"approve", "reject"}:
        return ACT
    return next((word for pattern, word in _WORDS if pattern.search(refused.reason)), OTHER)
