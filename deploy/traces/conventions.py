"""The names of OpenTelemetry's semantic conventions that our spans use, and our own: all of them, and only here.

Pinned, since both are still in development and rename things:

- messaging and RabbitMQ: semantic conventions 1.44.0
  (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/);
- generative AI: as in semantic conventions 1.41.0, the last that held them. The release 0.1.0 of what they became
  (open-telemetry/semantic-conventions-genai) tells a workflow's name as `gen_ai.agent.name`; backends do not know it
  yet.

Whoever moves to a newer version does it here, changes SCHEMA, and says so in the changelog.
"""

from __future__ import annotations

from typing import Final

SCOPE: Final = "handrail"
SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"

# --- messaging 1.44.0 -----------------------------------------------------------------------------------------------

MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_DESTINATION_NAME: Final = "messaging.destination.name"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
MESSAGING_CONVERSATION_ID: Final = "messaging.message.conversation_id"
MESSAGING_BODY_SIZE: Final = "messaging.message.body.size"
MESSAGING_BATCH_COUNT: Final = "messaging.batch.message_count"
RABBITMQ_ROUTING_KEY: Final = "messaging.rabbitmq.destination.routing_key"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"

RABBITMQ: Final = "rabbitmq"
IN_PROCESS: Final = "handrail"
"""The system of commands that never leave their process."""

CREATE: Final = "create"
SEND: Final = "send"
PROCESS: Final = "process"

# --- generative AI 1.41.0 -------------------------------------------------------------------------------------------

GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_WORKFLOW_NAME: Final = "gen_ai.workflow.name"
GEN_AI_CONVERSATION_ID: Final = "gen_ai.conversation.id"
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
GEN_AI_TOOL_TYPE: Final = "gen_ai.tool.type"
GEN_AI_TOOL_CALL_ID: Final = "gen_ai.tool.call.id"

INVOKE_WORKFLOW: Final = "invoke_workflow"
EXECUTE_TOOL: Final = "execute_tool"
FUNCTION: Final = "function"

# --- our own --------------------------------------------------------------------------------------------------------

DECIDE: Final = "decide"
CLAIM: Final = "claim"
ASK: Final = "ask"
RUN: Final = "step"
WAIT: Final = "wait"

WORKFLOW_ID: Final = "handrail.workflow.id"
WORKFLOW_VERSION: Final = "handrail.workflow.version"
WORKFLOW_STATUS: Final = "handrail.workflow.status"
DEFINITION: Final = "handrail.definition"
DEFINITION_VERSION: Final = "handrail.definition.version"
TRIGGER: Final = "handrail.trigger"
EVENTS: Final = "handrail.events"
IGNORED: Final = "handrail.ignored"
STEP: Final = "handrail.step"
KIND: Final = "handrail.kind"
ATTEMPT: Final = "handrail.attempt"
QUEUE: Final = "handrail.queue"
OUTCOME: Final = "handrail.outcome"
FINGERPRINT: Final = "handrail.failure.fingerprint"
BECAME: Final = "handrail.became"
"""What became of a delivery, in the words of its settlement."""
LATE: Final = "handrail.late"
WAITED_FOR: Final = "handrail.wait"
APPROVAL: Final = "handrail.approval"
OPEN: Final = "handrail.open"
"""In traces made from histories: what the span tells of was not over."""


def destination(exchange: str, routing_key: str, queue: str = "") -> str:
    """RabbitMQ's destination: exchange and routing key, and for a consumer its queue, unless that is the key."""
    parts = [exchange, routing_key, queue if queue != routing_key else ""]
    return ":".join(part for part in parts if part)
