"""Names made comparable: script, accents, legal forms and spelling habits taken away.

Pure text work, no file is read. Two forms are made of each name: *plain* tokens (Latin, lower case, no accents) and
*folded* tokens, in which the usual ways of writing one sound are one (``Tschaikanow`` and ``Chaikanov``). What this
module refuses to do is decide whether two names are the same: that is `screening`.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from deploy.examples.vendor_onboarding.name_words import (
    ARTICLES,
    GIVEN_NAMES,
    LEGAL_FORMS,
    PERSON_ARTICLES,
    STRUCTURE_WEIGHT,
    STRUCTURE_WORDS,
    TRADE_WEIGHT,
    TRADE_WORDS,
)

Kind = Literal["person", "company"]

NAME_LENGTH_MAXIMUM = 200

_CYRILLIC = dict(
    zip(
        "абвгґдеёєжзиіїйклмнопрстуфхцчшщъыьэюя",
        "a b v g g d e e e zh z i i i i k l m n o p r s t u f kh ts ch sh shch - y - e yu ya".split(),
        strict=True,
    )
)
_GREEK = dict(
    zip("αβγδεζηθικλμνξοπρσςτυφχψω", "a v g d e z i th i k l m n x o p r s s t y f ch ps o".split(), strict=True)
)
_LETTERS = {"ø": "o", "ł": "l", "ß": "ss", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "đ": "d", "\u0131": "i"}
_TRANSLITERATION = str.maketrans(
    {letter: latin.replace("-", "") for letter, latin in (_CYRILLIC | _GREEK | _LETTERS).items()}
)

# й and ї must be read before their marks are taken off, Greek vowels after.
_KEEP_MARKED = frozenset("йїё")

_ABBREVIATION = re.compile(r"\b(?:[^\W\d_]\.){2,}")
_SLASHED_FORM = re.compile(r"\b([a-z])/([a-z])\b")
_NOT_WORD = re.compile(r"[\W_]+")
_APOSTROPHES = re.compile("['\u2019\u02bc\u0060]")

# Applied in this order; the longer spellings of a sound come before the shorter ones they contain.
_FOLDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        ("^[ae]l(?=[^aeiou])", ""),
        ("schtsch|shch|stch", "s"),
        # A capital stands for the sound of `ch`, which is none of the one-letter sounds.
        ("tsch|tch|cz", "C"),
        ("sch|sh", "s"),
        ("dzh|zh|dj", "s"),
        ("ch", "C"),
        ("kh", "h"),
        ("gh", "g"),
        ("ph", "f"),
        ("th", "t"),
        ("ts|tz", "s"),
        ("ck|q", "k"),
        ("c(?=[eiy])|z", "s"),
        ("c", "k"),
        ("x", "ks"),
        ("w", "v"),
        ("ou|oo|ue", "u"),
        ("ee", "i"),
        ("oe", "o"),
        ("ae", "a"),
        ("^(?:ye|je)", "e"),
        ("[iyj]u", "u"),
        ("[iyj]a", "a"),
        ("[iyj]e", "e"),
        ("^[iyj]o", "o"),
        ("j|y", "i"),
        (r"(.)\1+", r"\1"),
    )
)


@dataclass(frozen=True, slots=True, order=True)
class Token:
    """One word of a name, in both forms, with its weight in the comparison (0 to 1)."""

    plain: str
    folded: str
    weight: float


@dataclass(frozen=True, slots=True)
class ComparableName:
    """A name ready to be compared. `tokens` keeps the order in which they were written."""

    kind: Kind
    tokens: tuple[Token, ...]

    @property
    def key(self) -> str:
        """Return the plain tokens in alphabetical order: equal keys are equal names in whatever word order."""
        return " ".join(sorted(token.plain for token in self.tokens))


def plain_text(name: str) -> str:
    """Return the name in lower-case Latin letters and digits, words apart by single spaces."""
    text = unicodedata.normalize("NFKC", name).casefold()
    text = "".join(letter if letter in _KEEP_MARKED else _without_marks(letter) for letter in text)
    text = text.translate(_TRANSLITERATION)
    text = _ABBREVIATION.sub(lambda match: match.group().replace(".", "") + " ", text)
    text = _SLASHED_FORM.sub(r"\1\2", text)
    return _NOT_WORD.sub(" ", _APOSTROPHES.sub(" ", text)).strip()


def fold(word: str) -> str:
    """Return a plain word with the usual spellings of one sound, or of one given name, made one."""
    word = GIVEN_NAMES.get(word, word)
    for pattern, replacement in _FOLDS:
        word = pattern.sub(replacement, word)
    return word


@lru_cache(maxsize=4096)
def comparable(name: str, kind: Kind) -> ComparableName:
    """Return a name ready to be compared.

    Legal forms (companies) and articles are left out, unless nothing else is there; common trade words weigh less.
    """
    words = plain_text(name[:NAME_LENGTH_MAXIMUM]).split()
    left_out = ARTICLES | LEGAL_FORMS if kind == "company" else PERSON_ARTICLES
    kept = [word for word in words if word not in left_out] or words
    return ComparableName(kind=kind, tokens=tuple(Token(word, fold(word), _weight(word, kind)) for word in kept))


def _weight(word: str, kind: Kind) -> float:
    if kind == "company" and word in STRUCTURE_WORDS:
        return STRUCTURE_WEIGHT
    return TRADE_WEIGHT if kind == "company" and word in TRADE_WORDS else 1.0


def _without_marks(letter: str) -> str:
    return "".join(part for part in unicodedata.normalize("NFD", letter) if not unicodedata.combining(part))
