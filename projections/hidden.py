"""The condition, in SQL, that leaves Handrail's own workflows out of lists and counts."""

from __future__ import annotations

from typing import Final

from domain.builtin import HIDDEN_PREFIX

NOT_HIDDEN: Final = f"definition NOT LIKE '{HIDDEN_PREFIX}%'"
