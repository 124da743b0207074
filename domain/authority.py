"""Who may say what over the wire: services that speak for persons, and logins that may operate.

The broker vouches for the login that sent a message (`user_id`); these say what that login's word is worth. What is not
granted is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Protocol

from domain.definitions import words

ALL: Final = "*"


class Vouching(Protocol):
    """Which services may speak for persons."""

    def may(self, user_id: str, definition: str) -> bool:
        """Whether the login may say who decided, or who asked, in workflows of the definition."""
        ...


class Operating(Protocol):
    """Which services may pass on operators' acts."""

    def may(self, user_id: str, verb: str, definition: str) -> bool:
        """Whether the login may send this control verb to workflows of the definition."""
        ...


class Answering(Protocol):
    """Which services may say how the attempts of foreign activities ended."""

    def may(self, user_id: str, queue: str) -> bool:
        """Whether the login may answer for the commands of a queue (as activity types declare it)."""
        ...


class AnsweringGrants:
    """`Answering` as data: for each login the names of queues, `*` being all.

    Without any grant nobody may answer. The broker's rights are no bound here: all consumers in other languages write
    to the same exchange, so one that was taken over could end the steps of every other's queue.
    """

    def __init__(self, grants: Mapping[str, Collection[str]]) -> None:
        """`grants` maps a login to queues."""
        self._grants = {login: frozenset(queues) for login, queues in grants.items()}

    def may(self, user_id: str, queue: str) -> bool:
        """As the port."""
        granted = self._grants.get(user_id, frozenset())
        return queue in granted or ALL in granted

    def unanswered(self, queues: Collection[str]) -> list[str]:
        """Those of the queues that no login may answer for."""
        granted = frozenset[str]().union(*self._grants.values())
        return [] if ALL in granted else sorted(set(queues) - granted)


class VouchingGrants:
    """`Vouching` as data: for each login the names of definitions, compared by their words; `*` is all of them."""

    def __init__(self, grants: Mapping[str, Collection[str]]) -> None:
        """`grants` maps a login to definitions."""
        self._grants = {login: _Named(definitions) for login, definitions in grants.items()}

    def may(self, user_id: str, definition: str) -> bool:
        """As the port."""
        granted = self._grants.get(user_id)
        return granted is not None and definition in granted


class OperatingGrants:
    """`Operating` as data: for each login and verb the names of definitions; `*` is all of either."""

    def __init__(self, grants: Mapping[str, Mapping[str, Collection[str]]]) -> None:
        """`grants` maps a login to verbs, and those to definitions."""
        self._grants = {
            login: {verb: _Named(definitions) for verb, definitions in verbs.items()} for login, verbs in grants.items()
        }

    def may(self, user_id: str, verb: str, definition: str) -> bool:
        """As the port."""
        verbs = self._grants.get(user_id, {})
        return any(definition in granted for one in (verb, ALL) if (granted := verbs.get(one)) is not None)


class _Named:
    """Definitions by name."""

    def __init__(self, names: Collection[str]) -> None:
        self._all = ALL in names
        self._words = {words(name) for name in names if name != ALL}

    def __contains__(self, definition: str) -> bool:
        return self._all or words(definition) in self._words
