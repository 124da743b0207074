"""A signal that was received is delivered, also when its receiver dies first and the wait has long begun."""

import asyncio
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from tests.crash.checks import compare, opened, record_of
from tests.crash.live import started, stop, until_said
from tests.crash.outside import Outside
from tests.crash.person import Person
from tests.crash.processes import KILLED, Place
from tests.crash.report import KILLS
from tests.crash.starting import LIMIT_SECONDS, Nursery

PERSON = Person("signalled", "crash signalled", signals=True)
(SIGNAL,) = PERSON.before()


async def test_a_signal_outlives_its_receiver(
    worlds: Callable[[], Outside], nursery: Nursery, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    waiting = Place(tmp_path / "waiting", worlds(), nursery)
    process = await started(waiting, PERSON.begin())
    try:
        await until_said(process.stdout, "[step] paid=waiting")
        await until_said(process.stderr, "waits: paid signal")
        # Interrupted, it writes how far it has read the log: nobody will come by the beginning of the wait again.
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(LIMIT_SECONDS):
            await process.wait()
    finally:
        await stop(process)

    undisturbed = copied(waiting, tmp_path / "undisturbed", worlds())
    sent = undisturbed.run(*SIGNAL)
    assert sent.code == 0, sent
    kills, outlived = 0, 0
    for hit in sent.hits(every=True):
        place = copied(waiting, tmp_path / str(hit), worlds())
        kills += place.run(*SIGNAL, armed=hit).code == KILLED
        received = is_received(place)
        outlived += received
        ended = place.run(*(PERSON.go_on() if received else SIGNAL))
        assert ended.code == 0, (hit, ended)
        assert compare(record_of(place), record_of(undisturbed)) == [], hit
    record_property(KILLS, kills)
    assert 0 < outlived < kills


def copied(place: Place, home: Path, outside: Outside) -> Place:
    shutil.copytree(place.home, home, symlinks=True)
    return Place(home, place.outside.copied(outside.world), place.starter)


def is_received(place: Place) -> bool:
    """Whether the signal is in the store, or was."""
    with opened(place) as store:
        return store.query("SELECT count(*) FROM inbox WHERE kind = 'signal'") != [(0,)]
