"""Words of the wire: types of messages, headers, limits, and the faults by which dead letters are grouped.

Within a version a body only ever gains optional fields; what changes otherwise gets a new version, and is read beside
the old one. Nothing here is renamed: other services have it in their code.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

GOAL_START: Final = "handrail.goal.start.v1"
APPROVAL_DECIDE: Final = "handrail.approval.decide.v1"
SIGNAL_DELIVER: Final = "handrail.signal.deliver.v1"
OUTCOME_RECORD: Final = "handrail.outcome.record.v1"
STEP_RUN: Final = "handrail.step.run.v1"
"""The `type` property of a step command."""


def control_type(verb: str) -> str:
    """The `type` property of a control message: `handrail.control.pause.v1`."""
    return f"handrail.control.{verb}.v1"


# --- limits ---------------------------------------------------------------------------------------------------------

BODY_BYTES: Final = 256 * 1024
"""Most bytes of a body; what is larger goes to the artifact store and travels as a reference with digest."""
GOAL_BODY_BYTES: Final = 1024 * 1024
"""Most bytes of a goal's body."""
COMMAND_BODY_BYTES: Final = 512 * 1024
"""Most bytes of a step command's body: an input of 256 KiB, and what is said about it."""
MESSAGE_ID_BYTES: Final = 255
"""Most bytes of a message id, as UTF-8: what AMQP's short strings hold."""
NAME_CHARACTERS: Final = 200
"""Most characters of a person's name, a tag, a correlation or a control."""
REASON_CHARACTERS: Final = 2_000
"""Most characters of a reason."""
MOST_TAGS: Final = 100

# --- headers --------------------------------------------------------------------------------------------------------

CAUSATION_ID: Final = "handrail-causation-id"
ATTEMPT: Final = "handrail-attempt"
DEADLINE: Final = "handrail-deadline"
SCHEDULED_AT: Final = "handrail-scheduled-at"
SEQUENCE: Final = "handrail-sequence"
TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

FAULT_TYPE: Final = "handrail-fault-type"
FAULT_MESSAGE: Final = "handrail-fault-message"
FAULT_AT: Final = "handrail-fault-at"
FAULT_CONSUMER: Final = "handrail-fault-consumer"
FAULT_QUEUE: Final = "handrail-fault-queue"
ORIGINAL_EXCHANGE: Final = "handrail-original-exchange"
ORIGINAL_KEY: Final = "handrail-original-routing-key"
ORIGINAL_USER_ID: Final = "handrail-original-user-id"
ORIGINAL_APP_ID: Final = "handrail-original-app-id"
ORIGINAL_TIMESTAMP: Final = "handrail-original-timestamp"
ORIGINAL_CONTENT_TYPE: Final = "handrail-original-content-type"
REPLAYS: Final = "handrail-replays"
"""How often a dead letter was sent again."""


class Fault(StrEnum):
    """Why a message is in its dead queue: the short name by which dead letters are grouped."""

    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    DUPLICATE_KEY = "duplicate_key"
    NUMBER_UNFIT = "number_unfit"
    TEXT_UNFIT = "text_unfit"
    CONTENT_TYPE_UNFIT = "content_type_unfit"
    TYPE_MISSING = "type_missing"
    TYPE_UNKNOWN = "type_unknown"
    VERSION_UNKNOWN = "version_unknown"
    SCHEMA = "schema"
    MESSAGE_ID_MISSING = "message_id_missing"
    MESSAGE_ID_UNFIT = "message_id_unfit"
    USER_ID_MISSING = "user_id_missing"
    SENDER_NOT_ALLOWED = "sender_not_allowed"
    CONFLICT = "conflict"
    DEFINITION_UNKNOWN = "definition_unknown"
    INPUT_INVALID = "input_invalid"
    WORKFLOW_UNKNOWN = "workflow_unknown"
    COMMAND_UNKNOWN = "command_unknown"
    EPOCH_PASSED = "epoch_passed"
    """It is of a time that was lost when the store was put back from a backup."""
    ACTIVITY_UNKNOWN = "activity_unknown"
    REFUSED = "refused"
    RECORD_DAMAGED = "record_damaged"
    CONSUMER_FAULT = "consumer_fault"
    DELIVERED_TOO_OFTEN = "delivered_too_often"
    """The broker moved it: nobody settled it in as many deliveries as it allows."""
    REJECTED = "rejected"
    """A consumer rejected it, and could not say why: the log of that consumer does."""
    UNROUTED = "unrouted"
    """It was published under a routing key that is bound to no queue."""
    GIVEN_UP = "given_up"
    """The broker moved it for another reason."""
