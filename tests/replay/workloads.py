"""What happened in each golden history, told once more: the script that adds histories plays it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from domain import events as e
from domain.events import Undo
from domain.failures import FailureClass
from domain.replay import fold
from domain.state import STATE
from domain.triggers import ForkHere, ForkWorkflow
from tests.replay.recipes import (
    FAMILY,
    GATED,
    HURRIED,
    ONCE,
    PATIENT_OF_OTHERS,
    PATIENTLY,
    PLAIN,
    PLANNED,
    UNDONE,
)
from tests.unit.domain.scenario import BUG, NOT_APPLIED, PERMANENT, TRANSIENT, Scenario, failure, given

SEAT: Final = {"seat": 7}
REPORT: Final = e.Artifact(name="report.json", digest="ab" * 32, size=7)


def happy() -> Scenario:
    """Three steps, each ok at once."""
    return (
        given(PLAIN, goal="say hello", tags={"team": "blue"})
        .later(1)
        .ok("look")
        .ok("reserve", SEAT)
        .later(2)
        .ok("tell")
    )


def blocked() -> Scenario:
    """An approval under four eyes: refused, escalated, granted by two with controls."""
    scenario = given(GATED, input={"amount": 500}).ok("look").approves("pay", by="rita").approves("pay", by="ann")
    scenario.approves("pay", by="ann").approves("pay", by="chief").later(minutes=30).wakes()
    return scenario.approves("pay", by="chief", controls=("two signatures",), reason="known to us").ok(
        "pay", {"paid": 500}
    )


def rejected() -> Scenario:
    """An approval rejected."""
    return given(GATED, input={"amount": 500}).ok("look").rejects("pay", by="bob", reason="too dear")


def expired() -> Scenario:
    """An approval that nobody gave in time: one late wake decides escalation and expiry."""
    return given(GATED, input={"amount": 500}).ok("look").later(hours=9).wakes()


def retrying() -> Scenario:
    """Backoff, a rate limit, a lost attempt, an attempt that reports late, a dead letter, and a budget used up."""
    scenario = given(PATIENTLY).fails("reserve", TRANSIENT).later(10).wakes()
    scenario.fails("reserve", failure(FailureClass.RATE_LIMITED, retry_after_seconds=120)).later(120).wakes()
    scenario.lapses("reserve").ok("reserve", SEAT).ok("reserve", SEAT, attempt=3).extended(3).left_open().dead_letters(
        "tell"
    )
    return scenario.later(60).wakes().ok("tell")


def compensating() -> Scenario:
    """A failure: two effects undone, one of them with a retry, a person and an acceptance."""
    scenario = (
        given(UNDONE).ok("one").ok("two", SEAT).fails("three", PERMANENT).fails("two", TRANSIENT).later(60).wakes()
    )
    return scenario.ok("two").fails("one").retried("one").fails("one").skipped("one")


def once_settled() -> Scenario:
    """Outcomes unknown: a probe that cannot tell, then proves absence; a person; another input; a late success."""
    scenario = given(ONCE, input={"n": 1}).lapses("pay").later(5).wakes().fails("pay", TRANSIENT).later(60).wakes()
    scenario.fails("pay", NOT_APPLIED).later(60).wakes().denies("pay").retried("pay", input={"n": 2}).ok("pay")
    scenario.lapses("wire").settled("wire", applied=False).later(60).wakes()
    return scenario.lapses("wire").ok("wire", {"sent": 1}, attempt=2).fails("tell", BUG).later(60).wakes().ok("tell")


def cancelled() -> Scenario:
    """Paused, resumed and cancelled while an attempt ran; undone."""
    scenario = given(PLAIN).ok("look").paused().ok("reserve", SEAT).resumed().cancelled().lapses("tell")
    return scenario.ok("reserve")


def child() -> Scenario:
    """A child that completes and leaves an effect, which is undone with the parent's."""
    seat = Undo(step="seat", activity="reserve", compensation="undo_reserve", key="wf_001.enrol/seat/run")
    return given(FAMILY, goal="me").child_ends("enrol", output={"n": 1}, effects=(seat,)).fails("tell").ok("enrol:seat")


def planned() -> Scenario:
    """A planner whose first proposal breaks a rule, asked again after each round; an artifact."""
    scenario = given(PLANNED).ok("_plan", {"steps": [{"id": "x", "activity": "unheard-of"}]}).later(60).wakes()
    scenario.ok("_plan", {"steps": [{"id": "look", "activity": "look"}], "done": False}).ok("look", {"found": 1})
    tell = {"id": "tell", "activity": "tell", "input": {"what": {"$ref": "steps.look.found"}}}
    return scenario.ok("_plan", {"steps": [tell], "done": True}).ok("tell").ok("_artifact", artifacts=(REPORT,))


def fork() -> Scenario:
    """A fork of the cancelled workflow, from before its end."""
    source = cancelled().history[:8]
    trigger = ForkWorkflow(
        source="wf_001",
        source_version=len(source),
        source_digest=source[-1].digest,
        state=STATE.dump_python(fold(source), mode="json"),
        requested_by="fred",
    )
    scenario = Scenario(PLAIN, "wf_002").when(trigger)
    while scenario.state.live:
        scenario.ok(next(iter(scenario.state.live.values())), SEAT)
    return scenario


def forked() -> Scenario:
    """Forked while it ran and after its end: neither changes anything in it."""
    scenario = given(PLAIN, input={"n": 1}).ok("look")
    scenario.when(taken(scenario, "wf_002", input={"n": 2})).ok("reserve", SEAT).fails("tell").ok("reserve")
    return scenario.when(taken(scenario, "wf_003"))


def taken(scenario: Scenario, fork_id: str, **parts: Any) -> ForkHere:
    """A fork of what there is of a workflow."""
    state = scenario.state
    return ForkHere(version=state.version, digest=state.head, fork=fork_id, by="fred", reason="look again", **parts)


def waiting() -> Scenario:
    """Waits for a time and for signals, one of which does not come; a definition that goes and comes; a pivot."""
    scenario = given(PATIENT_OF_OTHERS, goal="me").later(minutes=5).wakes().signalled("news", "you").later(minutes=10)
    scenario.signalled("paid", "k").signalled("paid", "k").unloaded().fails("ship", TRANSIENT)
    return scenario.loaded(PATIENT_OF_OTHERS).wakes().later(60).wakes().ok("ship").signalled("paid", "k")


def timed_out() -> Scenario:
    """A command that nobody took up within its time."""
    return given(HURRIED).ok("reserve", SEAT).left_open().later(minutes=2).wakes().ok("reserve")


def restored() -> Scenario:
    """Put back from a backup, twice: a payment under way is unknown, the next one when its turn comes."""
    scenario = given(ONCE, input={"n": 1}).restored().later(60).wakes().fails("pay", NOT_APPLIED).later(60).wakes()
    scenario.ok("pay").settled("wire", applied=True).restored(3).ok("tell")
    return scenario


WORKLOADS: Final[dict[str, Callable[[], Scenario]]] = {
    "happy": happy,
    "blocked": blocked,
    "rejected": rejected,
    "expired": expired,
    "retrying": retrying,
    "compensating": compensating,
    "once_settled": once_settled,
    "cancelled": cancelled,
    "child": child,
    "planned": planned,
    "fork": fork,
    "forked": forked,
    "waiting": waiting,
    "timed_out": timed_out,
    "restored": restored,
}
