"""The definition that a command is about, by its name: one that nothing has is a slip, and no answer of "none"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from deploy.misspelt import nearest
from domain.definitions import words
from domain.errors import DefinitionInvalid, InputInvalid

if TYPE_CHECKING:
    from deploy.cli.session import Session
    from domain.store.application import WorkflowStore


def definition_named(session: Session, store: WorkflowStore, given: str | None) -> str | None:
    """The name of a definition as the views have it, its words compared; None where none was given.

    Refuses a name that no workflow in the views has: of such a one nothing is stuck, and nothing has failed. Of one
    that is loaded here there may be no workflow yet, or none that the views have: that is no slip. Raises InputInvalid.
    """
    from projections.queries import definitions_known

    if given is None or _is_there(store, given):
        return given
    known = set(definitions_known(store.query))
    name = _alike(given, known)
    if name is not None:
        return name
    if store.imported is not None and store.imported.withheld:
        session.screen.note("payloads are withheld: which definition a workflow with such has is not known here")
        return given
    loaded = _loaded_names(session)
    name = _alike(given, loaded)
    if name is None:
        raise InputInvalid(f"there are no workflows of a definition {given[:200]!r}{nearest(given, known | loaded)}")
    return name


def spelt(store: WorkflowStore, given: str) -> str:
    """The name as the views have it where only its spelling is another; otherwise as it was given."""
    from projections.queries import definitions_known

    if _is_there(store, given):
        return given
    return _alike(given, definitions_known(store.query)) or given


def _is_there(store: WorkflowStore, name: str) -> bool:
    """Whether there is, or was, a workflow of it: what is archived the views may have forgotten."""
    from domain.store.tombstones import how_many
    from projections.queries import has_definition

    return has_definition(store.query, name) or how_many(store.query, name) > 0


def _alike(given: str, names: Iterable[str]) -> str | None:
    """The one name of the same words; itself where it is among them, None where several others are."""
    meant = words(given)
    found = [name for name in names if words(name) == meant]
    return given if given in found else found[0] if meant and len(found) == 1 else None


def _loaded_names(session: Session) -> set[str]:
    """The names of the definitions that are loaded here; none where they cannot be, since nothing here runs them."""
    from deploy.loading import load

    try:
        return {definition.name for definition in load(session.modules)}
    except DefinitionInvalid:
        return set()
