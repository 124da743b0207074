"""Names against the watch list: measured on labelled names, and by the properties that a score must have."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deploy.examples.vendor_onboarding.names import Kind, comparable, fold, plain_text
from deploy.examples.vendor_onboarding.policy import shipped_policy
from deploy.examples.vendor_onboarding.screening import (
    Hit,
    Subject,
    WatchEntry,
    WatchList,
    best_match,
    screen,
    shipped_watch_list,
    similarity,
)

PRECISION_FLOOR = 0.95
RECALL_FLOOR = 0.95
# On names that were written after the scoring was, and never used to better it: what to expect of names unseen.
HELD_OUT_RECALL_FLOOR = 0.85
NAMES_AT_LEAST = 200


class Labelled(TypedDict, total=False):
    """One labelled name: the watch list entry that it means, or null. `held_out`: written after the scoring was."""

    name: str
    kind: Kind
    matches: str | None
    held_out: bool


def labelled_names() -> list[Labelled]:
    text = (Path(__file__).parent / "labelled_names.json").read_text(encoding="utf-8")
    names: list[Labelled] = json.loads(text)
    return names


def hits_of(subject: Subject, watch_list: WatchList | None = None) -> tuple[Hit, ...]:
    policy = shipped_policy()
    return screen(
        [subject],
        watch_list or shipped_watch_list(),
        possible_from=policy.match_possible_from,
        certain_from=policy.match_certain_from,
    )


def everything(label: Labelled) -> bool:
    return bool(label["name"])


def held_out(label: Labelled) -> bool:
    return label.get("held_out", False)


def people(label: Labelled) -> bool:
    return label["kind"] == "person"


def companies(label: Labelled) -> bool:
    return label["kind"] == "company"


@pytest.mark.parametrize(
    ("chosen", "recall_floor"),
    [
        (everything, RECALL_FLOOR),
        (people, RECALL_FLOOR),
        (companies, RECALL_FLOOR),
        (held_out, HELD_OUT_RECALL_FLOOR),
    ],
)
def test_precision_and_recall_on_labelled_names(
    chosen: Callable[[Labelled], bool], recall_floor: float, capsys: pytest.CaptureFixture[str]
) -> None:
    right = wrong = missed = 0
    faults: list[str] = []
    labels = [label for label in labelled_names() if chosen(label)]
    for label in labels:
        hits = hits_of(Subject(label["name"], label["kind"]))
        found, meant = (hits[0].entry if hits else None), label["matches"]
        right += found is not None and found == meant
        wrong += found is not None and found != meant
        missed += meant is not None and found != meant
        if found != meant:
            faults.append(f"{label['name']}: found {found}, meant {meant}")
    precision, recall = right / (right + wrong), right / (right + missed)
    with capsys.disabled():
        print(
            f"\nscreening, {chosen.__name__}: {len(labels)} labelled names, "
            f"precision {precision:.3f}, recall {recall:.3f}"
        )
    assert precision >= PRECISION_FLOOR, faults
    assert recall >= recall_floor, faults


def test_the_labelled_names_are_enough_and_of_both_sorts() -> None:
    labels = labelled_names()
    assert len({(label["name"], label["kind"]) for label in labels}) == len(labels) >= NAMES_AT_LEAST
    entries = {entry.id for entry in shipped_watch_list().entries}
    meant = {label["matches"] for label in labels if label["matches"]}
    assert meant == entries
    matching = sum(label["matches"] is not None for label in labels)
    assert 0.4 < matching / len(labels) < 0.6


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("Дмитрий Валкоренко", "Dmitrii Valkorenko", "person"),
        ("Γεώργιος Κωσταραδόπης", "Georgios Kostaradopis", "person"),
        ("Jürgen Möllerschwarz", "MÖLLERSCHWARZ, Jurgen", "person"),
        ("Zentauri Metals GmbH", "zentauri metals", "company"),
        ("Redfjord Petroleum A/S", "Redfjord Petroleum", "company"),
        ("Orvalis Trading House L.L.C.", "House Orvalis Trading", "company"),
    ],
)
def test_script_order_accents_and_legal_form_make_no_difference(one: str, other: str, kind: Kind) -> None:
    assert similarity(comparable(one, kind), comparable(other, kind)) >= 0.98


@pytest.mark.parametrize(
    ("one", "other"), [("Tschaikanow", "Chaikanov"), ("Schtschurapowa", "Shchurapova"), ("Benhadrouni", "Benhadruny")]
)
def test_spellings_of_one_sound_fold_into_one(one: str, other: str) -> None:
    assert fold(plain_text(one)) == fold(plain_text(other))


@pytest.mark.parametrize("name", ["Anton Valkorenko", "Valkorenko", "Dmitri Balashenko", "Anton Dmitri Zelwyck"])
def test_sharing_one_name_with_somebody_is_not_being_them(name: str) -> None:
    assert hits_of(Subject(name, "person", "XA")) == ()


def test_a_company_is_not_taken_for_a_person() -> None:
    assert hits_of(Subject("Dmitri Valkorenko", "company")) == ()


def test_a_hit_is_certain_only_where_country_or_registration_agrees() -> None:
    name = "Blackmere Shipping Limited"
    by_registration = hits_of(Subject(name, "company", "IE", "GB-0099100"))
    by_country = hits_of(Subject(name, "company", "GB", None))
    neither = hits_of(Subject(name, "company", "IE", "IE-1"))
    assert [hit.certain for hit in (*by_registration, *by_country, *neither)] == [True, True, False]


def test_a_hit_below_the_certain_score_is_never_certain() -> None:
    (hit,) = hits_of(Subject("Companhia Maritima Solvente", "company", "PT"))
    assert (hit.entry, hit.certain) == ("C04", False)


def test_unknown_countries_do_not_agree() -> None:
    nowhere = WatchList(name="n", version="1", entries=(WatchEntry(id="E", kind="person", name="Ann Fieldmarch"),))
    (hit,) = hits_of(Subject("Ann Fieldmarch", "person", None, None), nowhere)
    assert not hit.certain


def test_hits_come_in_the_order_of_the_subjects_and_name_the_listed_spelling() -> None:
    subjects = [Subject("Kestravane Logistics", "company"), Subject("Anna Lindqvarn", "person"),
                Subject("Пётр Чайканов", "person")]  # fmt: skip
    hits = screen(subjects, shipped_watch_list(), possible_from=0.9, certain_from=0.97)
    assert [(hit.entry, hit.listed_as) for hit in hits] == [
        ("C12", "Kestravane Logistics Group"),
        ("P10", "Пётр Чайканов"),
    ]


# Few letters and few words make many ties, which is where the sides of a comparison may differ.
names = st.text(max_size=60) | st.lists(st.text(alphabet="abn", min_size=1, max_size=5), max_size=4).map(" ".join)
kinds = st.sampled_from(["person", "company"])


@given(names, names, kinds)
@example("Xiao Qing Zhongbei", "Zhongbei Xiaoqing", "person")
@example("aa boan nnb", "bba bnb ao", "person")
def test_a_score_is_symmetric_and_within_bounds(one: str, other: str, kind: Kind) -> None:
    there = similarity(comparable(one, kind), comparable(other, kind))
    assert there == similarity(comparable(other, kind), comparable(one, kind))
    assert 0.0 <= there <= 1.0


@given(st.lists(st.text(alphabet="abcdefghijklmnop", min_size=2, max_size=9), min_size=1, max_size=5), kinds, st.data())
def test_word_order_does_not_matter(words: list[str], kind: Kind, data: st.DataObject) -> None:
    turned = data.draw(st.permutations(words))
    assert similarity(comparable(" ".join(words), kind), comparable(" ".join(turned), kind)) == 1.0


@given(st.sampled_from(shipped_watch_list().entries))
def test_every_entry_is_found_by_its_own_name(entry: WatchEntry) -> None:
    score, found, _ = best_match(Subject(entry.name.upper(), entry.kind), shipped_watch_list())
    assert (score, found) == (1.0, entry)


@pytest.mark.parametrize("name", ["", "   ", "...", "́́", "al", "Ltd", "x" * 5000])
def test_odd_names_find_nobody(name: str) -> None:
    assert hits_of(Subject(name, "company")) == hits_of(Subject(name, "person")) == ()
