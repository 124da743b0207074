"""What a step ran, was probed and was undone shares its numbers, and is counted each for itself."""

from deploy.cli.replay_text import text_of
from deploy.cli.showing import as_document, as_text
from domain.recorded import from_state, to_state
from projections.replaying.attempts import attempts_of
from projections.replaying.reading import history_of
from projections.replaying.report import Report, build
from tests.unit.domain.recipes import TWICE, act, define, pay, reserve
from tests.unit.domain.scenario import NOT_APPLIED, PERMANENT, TRANSIENT, Scenario, given
from tests.unit.projections.reporting.stories import facts_of_scenario, page_of


def report_of(scenario: Scenario) -> Report:
    rows = [(one.originator_version, one.name, to_state(one)) for one in scenario.history]
    return build(history_of("wf_001", rows, from_state), scenario.definitions, lambda _: None)


def shown(scenario: Scenario) -> list[str]:
    """The steps as `handrail show` has them."""
    lines = list(as_text(scenario.state, [], scenario.history))
    begin = lines.index("steps")
    return [line.strip() for line in lines[begin + 1 :] if line.startswith("  ")]


def undone(*, tries: int = 1) -> Scenario:
    """A step that ran twice and is undone, at the first or the second try, since the one after it failed."""
    scenario = given(define(reserve("hold", retry=TWICE), act("tell"), on_failure="compensate", undo_retry=TWICE))
    scenario.fails("hold", TRANSIENT).later(5).wakes().ok("hold").fails("tell", PERMANENT)
    for _ in range(tries - 1):
        scenario.fails("hold", TRANSIENT).later(5).wakes()
    return scenario.ok("hold")


def test_an_undoing_is_no_attempt_of_the_step() -> None:
    once = given(define(reserve("hold"), act("tell"), on_failure="compensate"))
    once.ok("hold").fails("tell", PERMANENT).ok("hold")
    assert shown(once)[0].split() == ["hold", "compensated"]
    assert shown(undone())[0] == "hold  compensated; 2 attempts"
    assert shown(undone(tries=2))[0] == "hold  compensated; 2 attempts; 2 attempts at undoing"
    (step, _) = as_document(undone(tries=2).state, [], undone(tries=2).history)["steps"]
    assert (step["attempts"], step["undo_attempts"], step["probes"]) == (2, 2, 0)


def test_a_report_counts_what_was_tried_at_undoing() -> None:
    report = report_of(undone(tries=2))
    text = "\n".join(text_of(report))
    for words in (
        "attempt 2 of hold scheduled",
        "outcome of attempt 2 of hold",
        "attempt 1 at undoing hold scheduled",
        "outcome of attempt 1 at undoing hold",
        "attempt 2 at undoing hold in ",
        "attempt 2 at undoing hold scheduled",
        "hold (compensate) attempt 1 failed: transient: later",
    ):
        assert words in " ".join(text.split()), words
    assert "attempt 3" not in text
    tried = [(one.kind, one.attempt, one.count) for one in attempts_of(undone(tries=2).history) if one.step == "hold"]
    assert tried == [("run", 1, 1), ("run", 2, 2), ("compensate", 3, 1), ("compensate", 4, 2)]


def test_a_page_counts_them_so_too() -> None:
    page = page_of(facts_of_scenario(undone(tries=2)))
    assert ">2 (compensate)<" in page
    assert ">3 (compensate)<" not in page


def test_a_probe_is_no_attempt_either() -> None:
    scenario = given(define(pay("pay", probe="ask", retry=TWICE)))
    scenario.lapses("pay").later(5).wakes().fails("pay", NOT_APPLIED).later(60).wakes()
    assert [(one.kind, one.count) for one in attempts_of(scenario.history)] == [("run", 1), ("probe", 1), ("run", 2)]
    assert shown(scenario)[0].startswith("pay  scheduled; 2 attempts; 1 probe")
    assert "attempt 2 of pay scheduled" in "\n".join(text_of(report_of(scenario)))


def test_a_retry_that_is_to_come_is_counted_as_it_will_be() -> None:
    waiting = given(define(reserve("hold"), act("tell"), on_failure="compensate", undo_retry=TWICE))
    waiting.ok("hold").fails("tell", PERMANENT).fails("hold", TRANSIENT)
    assert "attempt 2 at undoing hold in " in "\n".join(text_of(report_of(waiting)))
