"""Workflows that call the service, loaded by serving processes as a user's module."""

import http.client
import os
from datetime import timedelta

from pydantic import BaseModel

from handrail import Breaker, Context, Definition, Limits, Rate, RetryPolicy, Step, Transient, activity
from tests.integration.limits.service import ATTEMPT_HEADER, PROCESS_HEADER

PORT_VARIABLE = "HANDRAIL_TEST_SERVICE_PORT"
RATE = Rate(times=50, per=timedelta(seconds=1))
BREAKER = Breaker(share=0.5, over=20, open_for=timedelta(seconds=1))


class Nothing(BaseModel):
    """There is nothing to say to it, and nothing that it answers."""


@activity(
    effect="idempotent",
    pivot=True,
    retry=RetryPolicy(max_attempts=10, initial_delay=timedelta(milliseconds=200), maximum_delay=timedelta(seconds=2)),
    limits=Limits(rate=RATE, breaker=BREAKER),
)
def call_service(_: Nothing, context: Context) -> Nothing:
    """Call the service once."""
    attempt = f"{context.workflow_id}/{context.step}/run/{context.attempt}"
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ[PORT_VARIABLE]), timeout=20)
    try:
        connection.request("POST", "/", headers={ATTEMPT_HEADER: attempt, PROCESS_HEADER: str(os.getpid())})
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != http.client.OK:
        raise Transient(f"the service answers {status}")
    return Nothing()


CALLING = Definition("call", steps=[Step("call", call_service)])
