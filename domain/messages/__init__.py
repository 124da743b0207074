"""The wire: bodies, types, headers and limits of every message, as pure data, whatever carries it.

`names` has the words and limits, `bodies` what others send, `commands` the step command, `announcements` what others
may listen to. `writing` makes messages of them, `reading` reads them back and says what is wrong with one, `faults`
makes and opens dead letters.
"""

from domain.messages.announcements import (
    ANNOUNCEMENTS,
    Announced,
    Announcement,
    ApprovalRequested,
    announced,
    announcement_of,
)
from domain.messages.bodies import (
    CONTROL_VERBS,
    CONTROLS,
    Approval,
    Control,
    Goal,
    Outcome,
    OutcomeAnswer,
    OutcomeFailure,
    Signal,
    control_of,
)
from domain.messages.commands import Headers, Origin, StepCommand, command_of
from domain.messages.faults import MOST_BURIED_BYTES, DeadLetter, outgoing_fault, outgoing_replay, read_dead_letter
from domain.messages.names import BODY_BYTES, GOAL_BODY_BYTES, STEP_RUN, Fault
from domain.messages.reading import (
    Read,
    check_body,
    message_id_fault,
    read_approval,
    read_command,
    read_control,
    read_goal,
    read_outcome,
    read_signal,
)
from domain.messages.writing import (
    announcement_id,
    check_message_id,
    outgoing_announcement,
    outgoing_approval,
    outgoing_command,
    outgoing_control,
    outgoing_goal,
    outgoing_outcome,
    outgoing_signal,
    routing_word,
)

__all__ = [
    "ANNOUNCEMENTS",
    "BODY_BYTES",
    "CONTROLS",
    "CONTROL_VERBS",
    "GOAL_BODY_BYTES",
    "MOST_BURIED_BYTES",
    "STEP_RUN",
    "Announced",
    "Announcement",
    "Approval",
    "ApprovalRequested",
    "Control",
    "DeadLetter",
    "Fault",
    "Goal",
    "Headers",
    "Origin",
    "Outcome",
    "OutcomeAnswer",
    "OutcomeFailure",
    "Read",
    "Signal",
    "StepCommand",
    "announced",
    "announcement_id",
    "announcement_of",
    "check_body",
    "check_message_id",
    "command_of",
    "control_of",
    "message_id_fault",
    "outgoing_announcement",
    "outgoing_approval",
    "outgoing_command",
    "outgoing_control",
    "outgoing_fault",
    "outgoing_goal",
    "outgoing_outcome",
    "outgoing_replay",
    "outgoing_signal",
    "read_approval",
    "read_command",
    "read_control",
    "read_dead_letter",
    "read_goal",
    "read_outcome",
    "read_signal",
    "routing_word",
]
