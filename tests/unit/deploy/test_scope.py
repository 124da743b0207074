"""Which workflows a process drives."""

from deploy.scope import Scope

CHILDREN = {"wf_1": ["wf_1.a", "wf_1.a.b"]}


def family(workflow_id: str) -> list[str]:
    return CHILDREN.get(workflow_id, [])


def test_without_a_scope_everything_is_driven() -> None:
    scope = Scope(None, family)
    assert scope.ids is None
    assert scope.drives("wf_9", 1, 1)
    assert not scope.add("wf_9")
    assert scope.take_new() == []


def test_a_scope_has_its_workflows_with_their_children() -> None:
    scope = Scope(["wf_1"], family)
    scope.begun_at = 100
    assert scope.ids == {"wf_1", "wf_1.a", "wf_1.a.b"}
    assert scope.drives("wf_1.a", 5, 1)
    assert not scope.drives("wf_2", 100, 7)


def test_what_is_new_in_the_log_is_driven_whoever_decided_it() -> None:
    scope = Scope(["wf_1"], family)
    scope.take_new()
    scope.begun_at = 100
    assert scope.drives("wf_2", 101, 7)
    assert scope.drives("wf_3", 102, 1)
    assert scope.drives("wf_2", 50, 6)
    # One that began just now has nothing left behind by former owners; the other may have.
    assert scope.take_new() == ["wf_2"]
    assert scope.take_new() == []


def test_what_is_asked_for_is_driven() -> None:
    scope = Scope([], family)
    assert scope.add("wf_1")
    assert not scope.add("wf_1")
    assert scope.add("wf_5", begun_now=True)
    assert scope.take_new() == ["wf_1", "wf_1.a", "wf_1.a.b"]
