"""What a token lets its bearer do. By itself, so that the command line can name the roles without loading a store."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A token may have several. Each lets its bearer look."""

    VIEWER = "viewer"
    REQUESTER = "requester"
    APPROVER = "approver"
    OPERATOR = "operator"
