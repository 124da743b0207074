"""Keeps the values of opened secrets out of all that is recorded, logged or written.

What an activity answers or raises is searched for every value opened so far in this process, in the forms in which
text carries it on: as it is, escaped in JSON, percent-encoded, in base64. In payloads and messages the value is
replaced by `[secret NAME]`; an artifact that holds one is refused, since a file cannot be changed unseen.
Costs nothing as long as no secret was opened.
"""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import to_json

from domain.errors import Permanent
from domain.secret import Secret, mask

SHORTEST: Final = 4
"""A shorter value could not be told from ordinary text."""


class Redactor:
    """The opened secrets of this process."""

    def __init__(self) -> None:
        """Begin with none."""
        self._forms: dict[str, str] = {}

    @property
    def active(self) -> bool:
        """Whether a secret was opened."""
        return bool(self._forms)

    def keep(self, secret: Secret) -> None:
        """Search for this value from now on; raises Permanent where it is too short to be found."""
        value = secret.reveal()
        if len(value) < SHORTEST:
            raise Permanent(f"secret {secret.name!r} is shorter than {SHORTEST} characters; use a longer one")
        forms = {form: mask(secret.name) for form in _forms(value)}
        # The longest first: a value may hold another one.
        self._forms = dict(sorted((self._forms | forms).items(), key=lambda pair: -len(pair[0])))

    def text(self, text: str) -> str:
        """The text with every value replaced."""
        for form, replacement in self._forms.items():
            if form in text:
                text = text.replace(form, replacement)
        return text

    def payload(self, value: Any) -> Any:
        """The payload, keys included, with every value replaced; the same object where none was found."""
        if not self._forms or not self._found(to_json(value)):
            return value
        return self._replaced(value)

    def refuse_in(self, data: bytes, what: str) -> None:
        """Raise Permanent where bytes hold a value."""
        for form, replacement in self._forms.items():
            if form.encode() in data:
                raise Permanent(f"{what} holds {replacement}; leave it out")

    def _found(self, encoded: bytes) -> bool:
        return any(form.encode() in encoded for form in self._forms)

    def _replaced(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._replaced(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._replaced(part) for part in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            # A secret of digits only, carried on as a number.
            return self.text(str(value)) if str(value) in self._forms else value
        return value


def _forms(value: str) -> set[str]:
    raw = value.encode()
    return {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        urllib.parse.quote(value, safe=""),
        urllib.parse.quote_plus(value),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }
