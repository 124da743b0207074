"""The heartbeat: the smallest workflow there is, of one `pure` activity on a queue of its own.

A serving process starts one every minute, as another service would: by a goal message. That it completes shows that
goals are taken in, decided and saved, that commands reach a consumer, that its outcome is recorded, and that the views
follow. It bounds itself: where nobody runs it, it fails after some minutes, and leaves nothing waiting for a person.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import BaseModel

from domain.builtin import HEARTBEAT
from domain.definitions import Definition, Step, activity
from domain.policies import RetryPolicy

START_TO_FINISH: Final = timedelta(seconds=30)
SCHEDULE_TO_FINISH: Final = timedelta(minutes=10)


class Pulse(BaseModel):
    """Nothing is given and nothing comes back."""


@activity(
    name=HEARTBEAT,
    effect="pure",
    queue=HEARTBEAT,
    retry=RetryPolicy(max_attempts=3, initial_delay=timedelta(seconds=1)),
    start_to_finish=START_TO_FINISH,
    schedule_to_finish=SCHEDULE_TO_FINISH,
)
async def beat(pulse: Pulse) -> Pulse:
    """Do nothing."""
    return pulse


HEARTBEAT_DEFINITION: Final = Definition(HEARTBEAT, steps=[Step("beat", beat)])
