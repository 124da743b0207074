"""Forks on their way: what is asked for is held against the source's history, and a fork that was taken is begun.

Taking is an event of the source, decided like any act of an operator; beginning is the first decision of the fork. The
relay begins what was taken and has not begun, so that both histories tell of each other whatever is killed in between.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from deploy.loading import check_input
from domain.errors import DefinitionMissing, HandrailError, StoreUnavailable
from domain.events import ForkTaken
from domain.forking import Cut, cut_at, fork_id, fork_of
from domain.payloads import check_payload
from domain.ports import Definitions
from domain.recorded import RecordedEvent
from domain.state import State
from domain.store.application import WorkflowStore
from domain.triggers import ForkHere, ForkWorkflow

_log: Final = logging.getLogger("handrail.deploy")


def check_fork(
    definitions: Definitions, store: WorkflowStore, workflow_id: str, asked: ForkHere, *, salt: str
) -> ForkHere:
    """The fork that is asked for, with its id, the digest of its cut and the whole of its input.

    Raises WorkflowUnknown, InputInvalid where there is no such cut or the input does not fit, DefinitionMissing, and
    EventCorrupt where the history is damaged.
    """
    cut, _ = cut_of(store, workflow_id, asked.version)
    given = whole_input(definitions, cut.state, asked.input)
    return asked.model_copy(
        update={"fork": fork_id(workflow_id, cut.version, given, salt), "digest": cut.digest, "input": given}
    )


def cut_of(store: WorkflowStore, workflow_id: str, version: int) -> tuple[Cut, list[RecordedEvent]]:
    """The cut of a stored history, and the history, held against its chain of digests."""
    events = store.read(workflow_id, verified=True)
    return cut_at(events, version), events


def whole_input(definitions: Definitions, state: State, changes: dict[str, Any] | None) -> dict[str, Any] | None:
    """The source's input with these keys put in their place, as the definition's model reads it; None where none are.

    Raises DefinitionMissing, or InputInvalid where it does not fit.
    """
    definition = definitions.find(state.definition, state.definition_version)
    if definition is None:
        raise missing(state)
    if not changes:
        return None
    given = check_input(definition, {**state.input, **changes})
    check_payload(given, "input")
    return None if given == state.input else given


def begin_fork(definitions: Definitions, store: WorkflowStore, source: str, event: ForkTaken) -> ForkWorkflow | None:
    """The trigger that begins a fork; None where it has begun, or can never begin, which is logged.

    Raises DefinitionMissing where its definition is not loaded here, StoreUnavailable.
    """
    if store.exists(event.fork):
        return None
    try:
        state = store.load(source, upto=event.version)
        if definitions.find(state.definition, state.definition_version) is None:
            raise missing(state)
        return fork_of(state, event)
    except (StoreUnavailable, DefinitionMissing):
        raise
    except HandrailError as error:  # archived, erased or damaged since it was taken
        _log.error("fork %s of workflow %s cannot begin: %s", event.fork, source, error)
        return None


def missing(state: State) -> DefinitionMissing:
    """Nobody here could drive the fork."""
    name, version = state.definition, state.definition_version
    return DefinitionMissing(
        f"definition {name!r} version {version!r} is not loaded here, and a fork goes on under the definition of its "
        "source; name its module with --module",
        definition=name,
        version=version,
    )
