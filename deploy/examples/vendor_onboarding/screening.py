"""Names against the watch list: how alike two names are, and which entries a name may mean.

Pure: a name and a list in, hits out. Scores run from 0.0 (nothing alike) to 1.0 (the same name after transliteration,
in whatever word order). What a score means is the policy's to say (`policy.json`).

The score is deliberately strict about the weakest word: sharing a family name with somebody is not being them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field
from rapidfuzz.distance import JaroWinkler, Levenshtein

from deploy.examples.vendor_onboarding.name_words import STRUCTURE_WEIGHT, TRADE_WEIGHT
from deploy.examples.vendor_onboarding.names import NAME_LENGTH_MAXIMUM, ComparableName, Kind, Token, comparable

UNEQUAL_MAXIMUM = 0.999
# What a word costs that only one of the names has, by what it says; a further given name is common.
STRUCTURE_WORD_PENALTY = 0.02
TRADE_WORD_PENALTY = 0.07
DISTINCTIVE_WORD_PENALTY = 0.30
PERSON_NAME_PENALTY = 0.06
# Below this, two words are not one word written twice: each stays unpaired.
PAIR_SIMILARITY_MINIMUM = 0.6
INITIAL_SIMILARITY = 0.85
JOINED_LENGTH_MINIMUM = 10
JOINED_SIMILARITY_MINIMUM = 0.95
# What two different words, or the same letters with other spaces, can reach at most.
FOLDED_SIMILARITY = 0.98
JOINED_SIMILARITY = 0.97
# How much the mean of the words counts beside the weakest of them.
MEAN_SHARE = 0.4

_PENALTIES = {STRUCTURE_WEIGHT: STRUCTURE_WORD_PENALTY, TRADE_WEIGHT: TRADE_WORD_PENALTY}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WatchEntry(_Frozen):
    """One person or company on the watch list. `country` is a two-letter code."""

    id: str
    kind: Kind
    name: str
    aliases: tuple[str, ...] = ()
    country: str | None = None
    registration: str | None = None


class WatchList(_Frozen):
    """A watch list as published: named, versioned, and only data."""

    name: str
    version: str
    note: str = ""
    entries: tuple[WatchEntry, ...]


class Hit(_Frozen):
    """A name that may mean an entry of the watch list. `score` is 0 to 1; `certain` says that no doubt is left."""

    name: str = Field(max_length=NAME_LENGTH_MAXIMUM)
    entry: str
    listed_as: str
    score: float
    certain: bool


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody to look for: the name as handed in, and what else is known of them."""

    name: str
    kind: Kind
    country: str | None = None
    registration: str | None = None


@lru_cache(maxsize=1)
def shipped_watch_list() -> WatchList:
    """Return the watch list beside this file."""
    text = files(__package__).joinpath("watch_list.json").read_text(encoding="utf-8")
    return WatchList.model_validate_json(text)


def screen(
    subjects: Iterable[Subject], watch_list: WatchList, *, possible_from: float, certain_from: float
) -> tuple[Hit, ...]:
    """Return the best hit of each subject that scores at least `possible_from`, in the subjects' order.

    A hit is *certain* from `certain_from` on, provided that the country or the registration number agrees as well:
    two people may bear one name.
    """
    hits = []
    for subject in subjects:
        score, entry, listed_as = best_match(subject, watch_list)
        if entry is None or score < possible_from:
            continue
        certain = score >= certain_from and _else_agrees(subject, entry)
        hits.append(
            Hit(
                name=subject.name[:NAME_LENGTH_MAXIMUM],
                entry=entry.id,
                listed_as=listed_as,
                score=round(score, 3),
                certain=certain,
            )
        )
    return tuple(hits)


def best_match(subject: Subject, watch_list: WatchList) -> tuple[float, WatchEntry | None, str]:
    """Return the score, the entry and the listed name that the subject is most like; the earlier entry on a tie."""
    best: tuple[float, WatchEntry | None, str] = (0.0, None, "")
    name = comparable(subject.name, subject.kind)
    for entry in watch_list.entries:
        if entry.kind != subject.kind:
            continue
        for listed in (entry.name, *entry.aliases):
            score = similarity(name, comparable(listed, entry.kind))
            if score > best[0]:
                best = (score, entry, listed)
    return best


def similarity(one: ComparableName, other: ComparableName) -> float:
    """Return how alike two names are, 0.0 to 1.0. Symmetric; 1.0 only for equal words in whatever order."""
    if not one.tokens or not other.tokens:
        return 0.0
    if one.key == other.key:
        return 1.0
    # In a fixed order, so that ties between pairs fall the same way from both sides.
    first, second = sorted((one, other), key=lambda name: (name.key, name.tokens))
    joined = max(_joined(first, second), _joined(second, first))
    return min(UNEQUAL_MAXIMUM, max(_word_by_word(first, second), joined))


def _word_by_word(one: ComparableName, other: ComparableName) -> float:
    """Pair the words, best first, and judge by their mean and by the weakest, less what stayed unpaired."""
    possible = sorted(
        ((_word_similarity(a, b), i, j) for i, a in enumerate(one.tokens) for j, b in enumerate(other.tokens)),
        key=lambda found: (-found[0], found[1], found[2]),
    )
    left, right = set(range(len(one.tokens))), set(range(len(other.tokens)))
    total = weight_sum = 0.0
    weakest = 1.0
    for score, i, j in possible:
        if i not in left or j not in right:
            continue
        if score < PAIR_SIMILARITY_MINIMUM:
            break
        left.discard(i)
        right.discard(j)
        weight = max(one.tokens[i].weight, other.tokens[j].weight) * min(
            len(one.tokens[i].plain), len(other.tokens[j].plain)
        )
        total += score * weight
        weight_sum += weight
        weakest = min(weakest, score)
    spare = [one.tokens[i] for i in left], [other.tokens[j] for j in right]
    penalty = _unpaired_penalty(spare, one.kind, pairs=len(one.tokens) - len(left))
    if weight_sum == 0.0:
        return 0.0
    return max(0.0, MEAN_SHARE * total / weight_sum + (1 - MEAN_SHARE) * weakest - penalty)


def _unpaired_penalty(spare: tuple[list[Token], list[Token]], kind: Kind, pairs: int) -> float:
    """Return what the unpaired words cost: a further given name little, two names that differ much."""
    if kind == "company":
        return sum(_PENALTIES.get(token.weight, DISTINCTIVE_WORD_PENALTY) for side in spare for token in side)
    further = pairs > 1 and not all(spare)
    return (PERSON_NAME_PENALTY if further else DISTINCTIVE_WORD_PENALTY) * sum(map(len, spare))


def _word_similarity(one: Token, other: Token) -> float:
    if one.plain == other.plain:
        return 1.0
    if len(one.plain) == 1 or len(other.plain) == 1:
        return INITIAL_SIMILARITY if one.plain[0] == other.plain[0] else 0.0
    if one.folded == other.folded:
        return FOLDED_SIMILARITY
    return max(
        _spelling_similarity(one.plain, other.plain), FOLDED_SIMILARITY * _spelling_similarity(one.folded, other.folded)
    )


def _spelling_similarity(one: str, other: str) -> float:
    """Return the mean of two measures: one forgives swapped letters, the other counts every edit."""
    return 0.5 * JaroWinkler.similarity(one, other) + 0.5 * Levenshtein.normalized_similarity(one, other)


def _joined(one: ComparableName, other: ComparableName) -> float:
    """Compare the names written as one word, from every first word: ``Xiao Qing Zhongbei``, ``Zhongbei Xiaoqing``."""
    written = "".join(token.folded for token in other.tokens)
    if len(written) < JOINED_LENGTH_MINIMUM:
        return 0.0
    folded = [token.folded for token in one.tokens]
    turned = ("".join(folded[start:] + folded[:start]) for start in range(len(folded)))
    best = max(Levenshtein.normalized_similarity(turn, written) for turn in turned)
    return JOINED_SIMILARITY * best if best >= JOINED_SIMILARITY_MINIMUM else 0.0


def _else_agrees(subject: Subject, entry: WatchEntry) -> bool:
    same_country = entry.country is not None and subject.country == entry.country
    same_registration = entry.registration is not None and subject.registration == entry.registration
    return same_country or same_registration
