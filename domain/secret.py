"""A secret: a value that is handed to author code by reference and shows itself nowhere."""

from __future__ import annotations

from typing import Any, NoReturn


class Secret:
    """The value of a secret, and the name that it goes by.

    `reveal()` is the only way to the value. Text, representation, JSON and copies for the record never hold it: a
    secret has no pydantic schema, so a model cannot carry one.
    """

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str) -> None:
        """Keep a value under its name."""
        self.name = name
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        """Show the name only."""
        return f"Secret({self.name!r})"

    def __str__(self) -> str:
        """What stands for the value wherever text is shown."""
        return mask(self.name)

    def __format__(self, _: str) -> str:
        """The same in f-strings, whatever the format asks for."""
        return mask(self.name)

    def __eq__(self, other: object) -> bool:
        """Equal in name and value."""
        return isinstance(other, Secret) and (self.name, self._value) == (other.name, other.reveal())

    def __hash__(self) -> int:
        """By name: the value leaves no trace."""
        return hash(self.name)

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied into another process or a file."""
        raise TypeError(f"{self!r} cannot be serialised; pass its name and open it where it is used")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> NoReturn:
        """Refuse to be a field: fields are recorded."""
        raise TypeError("a Secret cannot be part of an input or output: those are recorded; open it in the activity")


def mask(name: str) -> str:
    """What stands where the value of a secret stood."""
    return f"[secret {name}]"
