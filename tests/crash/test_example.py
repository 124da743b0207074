"""The example that ships, killed at every point: the same six lines, and the same artifact to the byte."""

from collections.abc import Callable
from pathlib import Path

from tests.crash.outside import Outside
from tests.crash.person import APPROVER
from tests.crash.processes import KILLED, Place
from tests.crash.report import KILLS
from tests.crash.starting import Nursery

WORKFLOW = "review"
COMMAND = ("run", "--goal", "vendor onboarding review", "--id", WORKFLOW, "--approve-as", APPROVER)
LINES = """\
[workflow] id=review started
[step] docs_collect=ok
[step] policy_screen=blocked(manual approval)
[resume] approval_received
[step] final_decision=approved_with_controls
[artifact] onboarding_decision.json
"""


def test_the_vendor_review_survives_every_kill(
    worlds: Callable[[], Outside], nursery: Nursery, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    def place(name: str) -> Place:
        return Place(tmp_path / name, worlds(), nursery, modules="")

    undisturbed = place("undisturbed")
    ended = undisturbed.run(*COMMAND)
    assert (ended.code, ended.out) == (0, LINES), ended
    kills = 0
    for hit in ended.hits(every=False):
        killed = place(str(hit))
        kills += killed.run(*COMMAND, armed=hit).code == KILLED
        again = killed.run(*COMMAND)
        told = [line for line in again.out.splitlines(keepends=True) if not line.startswith("[retry]")]
        assert (again.code, "".join(told)) == (0, LINES), (hit, again)
        assert decision(killed) == decision(undisturbed), hit
    record_property(KILLS, kills)
    assert kills


def decision(place: Place) -> bytes:
    return (place.home / "workflows" / WORKFLOW / "onboarding_decision.json").read_bytes()
