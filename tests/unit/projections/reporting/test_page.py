"""The page of a report: well-formed, self-contained, the same bytes each time, and nothing in it that is not said."""

import base64
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from domain.errors import PayloadWithheld
from domain.recorded import RecordedEvent, from_state, to_state
from domain.store.covers import Erasure
from projections.replaying.durations import PARTS
from projections.replaying.reading import Elsewhere, history_of
from projections.replaying.report import build
from projections.reporting import lanes, overview, records
from projections.reporting.facts import Facts, Payload, facts_of
from tests.replay.files import FOLDER, read
from tests.replay.recipes import DEFINITIONS
from tests.unit.projections.replaying.faults import FAULTS
from tests.unit.projections.reporting.stories import (
    HOSTILE,
    as_xml,
    chained,
    facts_of_scenario,
    facts_of_seeded,
    incident,
    page_of,
)

XHTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "h1", "h2", "h3", "p", "a",
    "ul", "ol", "li", "dl", "dt", "dd", "div", "span", "bdi", "strong", "br", "time", "figure", "figcaption", "table",
    "thead", "tbody", "tr", "th", "td", "details", "summary", "pre",
}  # fmt: skip
DRAWN = {"svg", "title", "desc", "defs", "pattern", "marker", "g", "rect", "path", "text"}


def tree(page: str) -> ET.Element:
    """The page read as XML: whatever is not well-formed is an error."""
    assert page.startswith("<!DOCTYPE html>\n")
    return as_xml(page)


def section(page: str, name: str) -> str:
    """All the text of a section, on one line."""
    found = next(one for one in tree(page).iter(f"{XHTML}section") if one.get("id") == name)
    return " ".join(_text(found).split())


def _text(element: ET.Element) -> str:
    inner = "".join([element.text or "", *(_text(one) + (one.tail or "") for one in element)])
    return (
        inner if element.tag in {f"{XHTML}{name}" for name in ("a", "bdi", "span", "strong", "time")} else f" {inner} "
    )


class _Seen(HTMLParser):
    """What a parser of HTML sees: every element, with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def elements(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Seen()
    parser.feed(page)
    parser.close()
    return parser.elements


def is_sound(page: str) -> None:
    """What holds for every page, whatever it is of."""
    root = tree(page)
    for one in root.iter():
        known = DRAWN if one.tag.startswith(SVG) else ALLOWED
        assert one.tag.partition("}")[2] in known, one.tag
    seen = elements(page)
    assert len(seen) == sum(1 for _ in root.iter()), "HTML and XML see the same elements"
    for name, attributes in seen:
        assert not {key for key in attributes if key.startswith("on") or key in {"style", "src", "srcset"}}, name
        assert (attributes.get("href") or "#").startswith("#"), "references lead to the page itself"
    ids = [one.attrib["id"] for one in root.iter() if "id" in one.attrib]
    assert len(ids) == len(set(ids))
    targets = [(attributes.get("href") or "#")[1:] for _, attributes in seen if "href" in attributes]
    assert set(targets) <= set(ids), "and are all there"
    labels = " ".join(one.attrib.get("aria-labelledby", "") for one in root.iter()).split()
    assert set(labels) <= set(ids)
    heads = [int(one.tag[-1]) for one in root.iter() if re.fullmatch(r".*}h[1-6]", one.tag)]
    assert heads[0] == 1
    assert heads.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(heads)), "no level is left out"
    for one in root.iter(f"{XHTML}table"):
        assert one.get("aria-label")
        assert {cell.get("scope") for cell in one.iter(f"{XHTML}th")} <= {"col", "row"}
    assert all(mark.isprintable() or mark == "\n" for mark in page)


@pytest.mark.parametrize("name", FAULTS)
def test_the_page_of_each_seeded_fault_names_its_first_cause(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seeded = FAULTS[name](monkeypatch)
    page = page_of(facts_of_seeded(seeded))
    is_sound(page)
    where = f"event {seeded.version}" + ("" if seeded.workflow == "wf_001" else f" of {seeded.workflow}")
    assert section(page, "cause").startswith(f"First cause {where}: ")
    title = next(tree(page).iter(f"{XHTML}title")).text or ""
    assert f"first cause: event {seeded.version} " in title
    marks = "".join(one.text or "" for one in tree(page).iter(f"{SVG}text") if one.get("class") == "cause-label")
    timed = "<svg" in page and seeded.workflow == "wf_001" and 'class="timeline' in page
    assert marks == (f"first cause, event {seeded.version}" if timed else "")
    assert page == page_of(facts_of_seeded(seeded)), "the same bytes once more"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.jsonl")), ids=lambda path: path.stem)
def test_every_golden_history_has_a_page(path: Path) -> None:
    golden = read(path)
    rows = [(version, topic, state) for _, version, topic, state in golden.rows]
    history = history_of("wf_001", rows, from_state, position=99)
    is_sound(page_of(facts_of(build(history, DEFINITIONS, lambda _: None), history, {})))


def test_the_policy_allows_the_page_s_own_style_and_nothing_else() -> None:
    page = page_of(facts_of_scenario(incident()))
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    policy = next(one for name, one in elements(page) if one.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "@import" not in style
    assert set(re.findall(r"url\(([^)]*)\)", style)) <= {f"#pattern-{part}" for part in PARTS}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_comes_from_outside_is_shown_as_text(hostile: str) -> None:
    page = page_of(facts_of_scenario(incident(hostile, goal=hostile)))
    is_sound(page)
    assert len(elements(page)) == len(elements(page_of(facts_of_scenario(incident("good", goal="good"))))), (
        "not one element more than with a harmless text"
    )
    payloads = [json.loads("".join(one.itertext())) for one in tree(page).iter(f"{XHTML}pre")]
    assert payloads[0]["input"]["bank"]["note"] == hostile, "and is whole in the payload"


def test_it_says_who_decided_on_what_and_where_the_time_went() -> None:
    page = page_of(facts_of_scenario(incident()))
    approvals = section(page, "approvals")
    assert "pay, round 1" in approvals
    assert re.search(r"2 of ann, bob .*Digest [0-9a-f]{64} Decisions ann approves event 17", approvals)
    assert "bob approves event 18 2030-01-04 12:01:02; with: call them first" in approvals
    assert approvals.endswith("Outcome granted event 19 2030-01-04 12:01:02")
    assert "waiting for a person 3d 100.0 %" in section(page, "time")
    assert "rate ↩ compensated rate look 1" in section(page, "steps")
    assert "fingerprint" in section(page, "cause").lower()
    assert "2 times elsewhere, last seen at 2030-01-02 03:04:05" in section(page, "cause")
    assert re.search(r"event 20 .* event 21 .* ← first cause event 22", section(page, "chain"))
    assert "pay 1 ✗ failed permanent: a bank that answers late" in section(page, "attempts")
    assert "ann approves pay" in section(page, "people")


def test_each_part_of_the_time_has_a_pattern_of_its_own_and_long_waits_are_cut_short() -> None:
    page = page_of(facts_of_scenario(incident()))
    drawn = next(one for one in tree(page).iter(f"{SVG}svg") if one.get("class") == "timeline")
    patterns = {one.attrib["id"]: ET.tostring(one[1]) for one in drawn.iter(f"{SVG}pattern") if len(one) > 1}
    shapes = [re.sub(rb' class="[^"]*"', b"", shape) for shape in patterns.values()]
    assert len(set(shapes)) == len(shapes) >= 4
    bars = {
        (one.get("class") or "").removeprefix("bar ")
        for one in drawn.iter(f"{SVG}rect")
        if "bar" in one.get("class", "")
    }
    assert {"running", "worker", "backoff", "person"} <= bars
    assert [one.text for one in drawn.iter(f"{SVG}text") if one.get("class") == "axis far"] == ["3d"]


def test_every_event_is_there_with_its_payload_folded() -> None:
    told = facts_of_scenario(incident())
    page = page_of(told)
    root = tree(page)
    folded = list(root.iter(f"{XHTML}details"))
    assert len(folded) == told.report.version
    assert not any("open" in one.attrib for one in folded)
    for version, payload in told.payloads.items():
        assert payload.text is not None
        shown = "".join(folded[version - 1].find(f"{XHTML}pre").itertext())  # type: ignore[union-attr] # each has one
        assert json.loads(shown) == json.loads(payload.text)
        assert payload.digest in "".join(folded[version - 1].itertext())


def test_long_payloads_are_cut_and_very_many_left_out_and_both_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    long = page_of(facts_of_scenario(incident("x" * 20_000)))
    is_sound(long)
    assert long.count("Cut here: the JSON Lines file of this report has it whole.") >= 2
    assert "x" * (records.PAYLOAD_CHARACTERS + 1) not in long
    monkeypatch.setattr(records, "PAYLOADS_CHARACTERS", 3_000)
    short = page_of(facts_of_scenario(incident()))
    assert "Left out, as the page has so many" in short
    root = tree(short)
    causes = next(one for one in root.iter(f"{XHTML}li") if one.get("id") == "e21")
    assert list(causes.iter(f"{XHTML}pre")), "what went wrong has its payload before all others"


def test_many_events_are_in_groups_and_of_very_many_the_middle_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    told = facts_of_scenario(chained(200))
    page = page_of(told)
    is_sound(page)
    groups = ["".join(one[0].itertext()) for one in tree(page).iter(f"{XHTML}details") if one.get("class") == "group"]
    assert groups[:2] == ["Table of 200 steps", "Table of 200 attempts"], "what is long is folded"
    assert re.fullmatch(r"Events 1 to 25\d", groups[2])
    assert len(groups) == 4
    assert "The first 120" not in page
    assert "Of 200 steps the first 120 are drawn" in page
    monkeypatch.setattr(records, "EVENTS_SHOWN", 100)
    monkeypatch.setattr(records, "EVENTS_A_GROUP", 30)
    short = page_of(told)
    is_sound(short)
    there = [int(number) for number in re.findall(r'id="e(\d+)"', short)]
    assert 90 <= len(there) <= 100
    assert (there[0], there[-1]) == (1, told.report.version)
    left_out = told.report.version - len(there)
    assert f"{left_out} events between are left out here" in section(short, "events")


def test_tables_are_bounded_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((records, "ATTEMPTS_SHOWN"), (records, "ACTS_SHOWN"), (records, "APPROVALS_SHOWN"),
                         (overview, "STEPS_LISTED"), (overview, "LINKS_SHOWN"), (lanes, "MOST_LANES")):  # fmt: skip
        monkeypatch.setattr(module, name, 2 if name == "LINKS_SHOWN" else 1)
    page = page_of(facts_of_scenario(incident()))
    is_sound(page)
    assert "The table has 1 of those; the events have all." in section(page, "attempts")
    assert "The first 1 of 3 acts" in section(page, "people")
    assert "The first 1 of 5 steps" in section(page, "steps")
    assert "events between are left out here" in section(page, "chain")
    assert "3 other steps" in section(page, "timeline"), "and the cause's step has its lane"
    lanes_drawn = [one for one in tree(page).iter(f"{SVG}text") if one.get("class") == "lane"]
    assert ["".join(one.itertext()) for one in lanes_drawn] == ["paypay", "3 other steps3 other steps"]


@pytest.mark.parametrize("first", [1, 18])
def test_withheld_and_erased_payloads_show_as_such(first: int) -> None:
    story = incident("a secret")

    def decode(workflow_id: str, version: int, topic: str, state: bytes) -> RecordedEvent:
        if version >= first:
            raise PayloadWithheld("erased", workflow_id=workflow_id, version=version)
        return from_state(workflow_id, version, topic, state)

    rows = [(one.originator_version, one.name, to_state(one)) for one in story.history]
    erasure = Erasure("wf_001", 28, datetime(2030, 2, 1, tzinfo=UTC), "ann", "asked for")
    history = replace(history_of("wf_001", rows, decode, position=99), erasure=erasure)
    report = build(history, story.definitions, lambda _: None)
    whole = facts_of_scenario(story).payloads
    payloads = {version: one if version < first else Payload(None, "erased") for version, one in whole.items()}
    page = page_of(facts_of(report, history, payloads))
    is_sound(page)
    header = _text(next(tree(page).iter(f"{XHTML}header")))
    assert f"From event {first} on, payloads are withheld" in header
    assert "erased on 2030-02-01 00:00 UTC by ann (asked for)" in header
    assert "2030-01-01 12:00:00" in header
    assert "damaged" not in page
    answered = section(page, "cause")
    assert answered.startswith(f"First cause Not known: payloads are withheld from event {first} on"), (
        "it waited for an approval at event 16, and waits no more"
    )
    assert section(page, "events").count("withheld") + section(page, "events").count("erased") >= 28 - first
    assert ("a secret" in page) is (first > 1)


def test_a_workflow_of_which_nothing_can_be_read_has_a_page() -> None:
    history = history_of("wf_001", [(1, "Nonsense", b"nothing"), (2, "Nonsense", b"")], from_state, position=2)
    report = build(history, DEFINITIONS, lambda _: None, lambda one, _: Elsewhere(one, 0, "", "", 2))
    page = page_of(Facts(report, (), (), {}))
    is_sound(page)
    assert "the goal cannot be read" in page
    assert "There is no plan." in page
