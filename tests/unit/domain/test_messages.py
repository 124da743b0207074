"""The wire's bodies and names."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import InputInvalid
from domain.events import StepScheduled
from domain.messages import Headers, StepCommand, command_of
from domain.messages.commands import scheduled_at_of
from domain.messages.writing import outgoing_command
from domain.state import State
from domain.topology import COMMANDS_EXCHANGE, activity_queue

SCHEDULED = StepScheduled(
    step="pay",
    kind="run",
    attempt=2,
    message_id="wf_001/pay/run/2",
    generation=3,
    activity="charge",
    queue="bank",
    input={"amount": 7},
    expires_at=datetime(2030, 1, 2, tzinfo=UTC),
    key="wf_001/pay/run~3",
)
STATE = State("wf_001", definition="shop", definition_version="4", requested_by="alice")


def test_a_command_says_all_that_its_attempt_needs() -> None:
    command = command_of(SCHEDULED, "wf_001", STATE)
    assert (command.workflow_id, command.definition, command.definition_version) == ("wf_001", "shop", "4")
    assert (command.idempotency_key, command.requested_by, command.claimed) == ("wf_001/pay/run~3", "alice", False)
    assert (command.attempt, command.generation, command.input) == (2, 3, {"amount": 7})


def test_a_command_comes_back_from_the_wire_as_it_went() -> None:
    command = command_of(SCHEDULED, "wf_001", STATE)
    body = json.loads(StepCommand.of(command).model_dump_json())
    assert StepCommand.model_validate({**body, "said by a newer relay": 1}).command() == command


def test_headers_have_their_names_on_the_wire() -> None:
    headers = Headers(
        causation_id="wf_001/3", attempt=2, deadline=datetime(2030, 1, 1, tzinfo=UTC) + timedelta(hours=1)
    )
    assert headers.wire() == {
        "handrail-causation-id": "wf_001/3",
        "handrail-attempt": 2,
        "handrail-deadline": "2030-01-01T01:00:00Z",
    }


def test_when_a_command_was_scheduled_travels_beside_its_body() -> None:
    at = datetime(2030, 1, 1, 2, 3, 4, 567_000, tzinfo=UTC)
    sent = outgoing_command(command_of(SCHEDULED, "wf_001", STATE, scheduled_at=at))
    assert scheduled_at_of(sent.headers) == at
    assert b"scheduled" not in sent.body


@pytest.mark.parametrize("said", [None, 7, "", "yesterday", "2030-01-01T00:00:00"])
def test_an_instant_that_cannot_be_read_is_none(said: object) -> None:
    assert scheduled_at_of({"handrail-scheduled-at": said}) is None


def test_queues_follow_from_what_an_activity_declares() -> None:
    assert (COMMANDS_EXCHANGE, activity_queue("bank")) == ("handrail.commands", "handrail.activity.bank")
    with pytest.raises(InputInvalid, match="queue 'No Queue' is not a name"):
        activity_queue("No Queue")
