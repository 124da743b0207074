"""`handrail erase --family`: a parent, its child, a fork and the fork's child go together, or none of them does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.erasing import Erasing
from deploy.loading import LoadedDefinitions
from deploy.opened import open_store
from deploy.settings import Settings
from domain.errors import PayloadWithheld, Refused
from domain.forking import fork_id
from domain.ids import child_workflow_id
from domain.store.application import WorkflowStore
from projections.keeper import Keeper
from tests.integration.encryption.test_cli import WORD, Encrypted

FIRST = 3
"""The end of the parent's first decision: nothing has settled there, and no child is begun."""
FORK = fork_id("wf_001", FIRST, None, "")
CHILD, FORKS_CHILD = (child_workflow_id(name, "child", 1) for name in ("wf_001", FORK))
FAMILY = {"wf_001", CHILD, FORK, FORKS_CHILD}
BY = ("--by", "ann", "--reason", "asked for")


@pytest.fixture
def handrail(tmp_path: Path) -> Encrypted:
    """A family of which the fork's child waits for a person, and a stranger that has ended."""
    program = Encrypted(tmp_path)
    program.done("keys", "new", "-o", "ring.json")
    goal = ("--goal", f"parent {WORD}", "--definition", "parent", "--id", "wf_001")
    program.done("run", *goal, "--approve-as", "ann")
    assert program("fork", "wf_001", "--at", str(FIRST), "--yes").code == 3
    program.done("run", "--goal", f"greet {WORD}", "--definition", "greet", "--id", "wf_other")
    return program


@contextmanager
def opened(handrail: Encrypted) -> Iterator[WorkflowStore]:
    store = open_store(handrail.home, LoadedDefinitions(), settings=Settings(encryption_keys=handrail.ring))
    try:
        yield store
    finally:
        store.close()


def erased(handrail: Encrypted) -> set[str]:
    """The workflows of the home that are erased."""
    found = set()
    with opened(handrail) as store:
        for name in store.workflow_ids():
            try:
                store.load(name)
            except PayloadWithheld:
                found.add(name)
    return found


def test_a_family_goes_together_from_whichever_of_it_is_named(
    handrail: Encrypted, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = handrail("erase", "wf_001", "--family", *BY, "--yes")
    assert refused.code == 2
    assert f"{FORK} is" in refused.errors.replace("\n", " ")
    assert erased(handrail) == set(), "one that goes on keeps all of them"
    handrail.done("approve", FORKS_CHILD, "--by", "ann")
    with opened(handrail) as store:
        looked = Erasing(store, handrail.home, by="ann", reason="asked for", shared=False)
        for name in FAMILY:
            assert set(looked.look(name).relatives) == FAMILY - {name}
            assert set(looked.family([name])) == FAMILY
        monkeypatch.setattr("deploy.erasing.MOST_RELATIVES", 3)
        with pytest.raises(Refused, match="has more than 3 workflows: erase it in parts"):
            looked.family(["wf_001"])
        monkeypatch.undo()
        Keeper(store).rebuild()  # nobody is in the views now
    handrail.done("erase", CHILD, "--family", *BY, "--yes")
    assert erased(handrail) == FAMILY
    for command in ("replay --all", "projections verify all"):
        handrail.done(*command.split())
    again = handrail.done("erase", FORK, "--family", *BY, "--yes", "--json").document
    assert {one["workflow_id"] for one in again["workflows"] if one["before"]} == FAMILY, "who they are is still known"
