"""After a crash comes a command that knows nothing of the workflow that crashed: it may not decide what it cannot know.

The relay reads the log for everybody. Whoever holds the home next goes on where the log was left, with whatever
definitions it has loaded.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.checks import compare, look, record_of
from tests.crash.outside import Outside
from tests.crash.person import Person
from tests.crash.processes import KILLED, STRANGERS, Place
from tests.crash.report import KILLS
from tests.crash.starting import Nursery

NAMES = ("family", "once unprobed", "retrying", "blocked")
POINTS = ("commit.after", "publish.after")
STRANGER = Person("stranger", "crash stranger")


@pytest.mark.parametrize("name", NAMES)
def test_a_stranger_who_comes_first_changes_nothing(
    name: str,
    worlds: Callable[[], Outside],
    nursery: Nursery,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    person = Person(name.replace(" ", "_"), f"crash {name}")
    undisturbed = Place(tmp_path / "undisturbed", worlds(), nursery)
    begun = undisturbed.run(*person.begin())
    live_on(person, undisturbed)
    assert stranger(undisturbed) == 0
    kills, wrong = 0, {}
    for hit in (hit for hit in begun.hits(every=True) if hit.point in POINTS):
        place = Place(tmp_path / str(hit), worlds(), nursery)
        kills += place.run(*person.begin(), armed=hit).code == KILLED
        assert stranger(place) == 0
        live_on(person, place)
        wrong[str(hit)] = compare(record_of(place), record_of(undisturbed))
    record_property(KILLS, kills)
    assert not any(wrong.values()), wrong
    assert kills


def stranger(place: Place) -> int:
    """Somebody else's command on the same home; its exit code."""
    return Place(place.home, place.outside, place.starter, modules=STRANGERS).run(*STRANGER.begin()).code


def live_on(person: Person, place: Place) -> None:
    """Bring the workflow to its end."""
    while (command := person.next_command(look(place, person.workflow), place.outside)) is not None:
        ended = place.run(*command)
        assert ended.code in {0, 1, 3}, ended
