"""After a crash comes a command that knows nothing of the workflow that crashed: it may not decide what it cannot know.

The relay reads the log for everybody. Whoever holds the home next goes on where the log was left, with whatever
definitions it has loaded.
"""

from collections.abc import Callable
from pathlib import Path

from tests.crash.checks import compare, look, record_of
from tests.crash.outside import Outside
from tests.crash.person import Person
from tests.crash.processes import KILLED, STRANGERS, Hit, Place
from tests.crash.report import KILLS
from tests.crash.starting import Nursery

PERSON = Person("family", "crash family")
STRANGER = Person("stranger", "crash stranger")


def test_a_stranger_who_comes_first_changes_nothing(
    worlds: Callable[[], Outside], nursery: Nursery, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    undisturbed = Place(tmp_path / "undisturbed", worlds(), nursery)
    begun = undisturbed.run(*PERSON.begin())
    assert (begun.code, stranger(undisturbed)) == (1, 0), begun
    kills, wrong = 0, {}
    for number in range(1, begun.passed["commit.after"] + 1):
        place = Place(tmp_path / str(number), worlds(), nursery)
        kills += place.run(*PERSON.begin(), armed=Hit("commit.after", number)).code == KILLED
        assert stranger(place) == 0
        while (command := PERSON.next_command(look(place, PERSON.workflow), place.outside)) is not None:
            ended = place.run(*command)
            assert ended.code in {0, 1}, ended
        wrong[number] = compare(record_of(place), record_of(undisturbed))
    record_property(KILLS, kills)
    assert not any(wrong.values()), wrong
    assert kills


def stranger(place: Place) -> int:
    """Somebody else's command on the same home; its exit code."""
    return Place(place.home, place.outside, place.starter, modules=STRANGERS).run(*STRANGER.begin()).code
