"""Derived ids: the same words always give the same id, so that a repeat meets what it repeats.

Message id of a command: `workflow/step/kind/attempt`. An attempt's number holds the store's epoch, which a restore
raises: ids of a time that was lost with its store are never given again. Idempotency key: `workflow/step/kind`, the
same for all attempts of one generation of a step; a retry with another input is a new generation and has a key of its
own.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final, Literal, NamedTuple

from domain.errors import InputInvalid

Kind = Literal["run", "compensate", "probe", "plan", "artifact"]
KINDS: Final[tuple[Kind, ...]] = ("run", "compensate", "probe", "plan", "artifact")

NAME_PATTERN: Final = r"[a-z0-9][a-z0-9_.-]{0,63}"
_NAME = re.compile(NAME_PATTERN)

# The engine's own steps. A leading underscore is outside NAME_PATTERN, so no author's step can meet them.
PLAN_STEP: Final = "_plan"
ARTIFACT_STEP: Final = "_artifact"

EPOCH_ATTEMPTS: Final = 1_000_000
"""How many attempt numbers an epoch has for each step. The first epoch is 1, its first attempt too."""

_DIGEST_CHARACTERS = 26  # 130 bits in base32


class CommandId(NamedTuple):
    """A command's message id, taken apart."""

    workflow_id: str
    step: str
    kind: str
    attempt: int


def is_name(text: str) -> bool:
    """Whether the text may name a workflow, a step or a queue."""
    return _NAME.fullmatch(text) is not None


def check_name(text: str, what: str) -> str:
    """Return the name; raise InputInvalid, naming `what` it was meant for, where it is none."""
    if not is_name(text):
        message = (
            f"{what} {text[:80]!r} is not a name: use 1 to 64 of a-z, 0-9, '_', '.', '-', "
            "beginning with a letter or digit"
        )
        raise InputInvalid(message)
    return text


def _short_digest(*parts: str) -> str:
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return base64.b32encode(digest).decode().lower()[:_DIGEST_CHARACTERS]


def local_workflow_id(number: int) -> str:
    """Id of the `number`th workflow started in a home: `wf_001`, then `wf_002`, and so on."""
    return f"wf_{number:03d}"


def workflow_id_from_message(sender: str, message_id: str) -> str:
    """Id of the workflow that a goal message starts: derived from who sent it and its message id."""
    return f"wf_{_short_digest('goal', sender, message_id)}"


def child_workflow_id(parent: str, step: str, generation: int) -> str:
    """Id of the child workflow that a step of the parent awaits.

    `parent.step` where that can be read in one way only: the first child of a step whose name holds no dot.
    """
    plain = f"{parent}.{step}"
    is_plain = generation == 1 and "." not in step and is_name(plain)
    return plain if is_plain else f"wf_{_short_digest('child', parent, step, str(generation))}"


def fork_workflow_id(source: str, version: int, salt: str) -> str:
    """Id of a workflow forked from another one's prefix; `salt` tells forks of one cut apart."""
    return f"wf_{_short_digest('fork', source, str(version), salt)}"


def message_id(workflow_id: str, step: str, kind: str, attempt: int) -> str:
    """Message id of the command for one attempt."""
    return f"{workflow_id}/{step}/{kind}/{attempt}"


def next_attempt_number(known: int, epoch: int) -> int:
    """Number of the attempt after `known` (0: there was none), in an epoch: higher than all of the epochs before."""
    return (epoch - 1) * EPOCH_ATTEMPTS + attempts_made(known) + 1


def attempts_made(number: int) -> int:
    """How many attempts a step had with the one of this number."""
    return number % EPOCH_ATTEMPTS


def epoch_of(attempt: int) -> int:
    """The epoch in which an attempt was scheduled."""
    return attempt // EPOCH_ATTEMPTS + 1


def parse_message_id(text: str) -> CommandId:
    """Take a command's message id apart; raise InputInvalid where it is none."""
    parts = text.split("/")
    if len(parts) != 4 or parts[2] not in KINDS or not (parts[3].isascii() and parts[3].isdigit()):  # noqa: PLR2004 - the four parts named above
        message = f"{text[:200]!r} is not the message id of a step command (workflow/step/kind/attempt)"
        raise InputInvalid(message)
    return CommandId(parts[0], parts[1], parts[2], int(parts[3]))


def receipt_id(kind: str, sender: str, message_id: str) -> str:
    """Key of a message's row in the inbox, `kind:sender:message id`: ids of different senders never meet.

    Nor do they meet a command's message id, which holds no colon.
    """
    return f"{kind}:{sender.replace('%', '%25').replace(':', '%3A')}:{message_id}"


def idempotency_key(workflow_id: str, step: str, kind: str, generation: int) -> str:
    """Key that the outside world sees: one for all attempts of one generation of a step."""
    key = f"{workflow_id}/{step}/{kind}"
    return key if generation == 1 else f"{key}~{generation}"


def approval_id(step: str, round_number: int) -> str:
    """Id of one round of a step's approval."""
    return f"{step}.{round_number}"
