"""The diagram: what was sent and came back, texts that mean nothing to Mermaid, and a bound."""

import re

import pytest

from projections.exporting.diagram import MOST_EVENTS, diagram_lines, escaped
from tests.unit.domain.recipes import act, define, policy
from tests.unit.domain.scenario import given

ARROW = re.compile(r"    (people|handrail|s\d+)-{1,2}>>(people|handrail|s\d+): [\w .,:()/'…#;-]+")
LINE = re.compile(r"    (participant \w+ as |Note over handrail: )[\w .,:()/'…#;-]+")


def test_it_tells_what_was_sent_what_came_back_and_who_decided() -> None:
    definition = define(act("look"), act("tell"), approvals=[policy()])
    scenario = given(definition).ok("look", {"outcome": "fine"}).needs_approval("tell").approves("tell")
    lines = list(diagram_lines(scenario.history))
    assert lines[0] == "sequenceDiagram"
    assert "    participant s1 as look" in lines
    assert all(ARROW.fullmatch(line) or LINE.fullmatch(line) for line in lines[1:])
    text = "\n".join(lines)
    for words in (
        "people->>handrail: 1 ",
        "handrail->>s1: ",
        "s1-->>handrail: ",
        "handrail->>people: ",
        "ann approves",
    ):
        assert words in text, words
    assert len(lines) == 1 + 4 + len(scenario.history)


@pytest.mark.parametrize("text", ["a;b", "a\nb: c", "end", "the End of it", "<b>x</b>", "a#b", "%% no", "loop {x}"])
def test_no_text_means_anything_to_mermaid(text: str) -> None:
    shown = escaped(text)
    assert re.fullmatch(r"([\w .,:()/'…-]|#\d+;)*", shown)
    assert re.search(r"\bend\b", shown, re.IGNORECASE) is None
    back = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), shown)
    assert back == " ".join(text.split())


def test_of_a_long_history_the_beginning_and_the_end_are_drawn() -> None:
    scenario = given(define(act("look")))
    for _ in range(MOST_EVENTS):
        scenario.history.append(scenario.history[-1])
    lines = list(diagram_lines(scenario.history))
    left_out = len(scenario.history) - MOST_EVENTS
    assert f"    Note over handrail: {left_out} events are left out here" in lines
    assert len([line for line in lines if "participant" not in line]) == MOST_EVENTS + 2
