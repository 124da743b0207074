"""Of each kind of fault, the true first cause is named: the kind and the event that were written down beforehand."""

from __future__ import annotations

import json

import pytest

from domain.recorded import from_state
from projections.replaying.documents import document_of
from projections.replaying.origins import Kind
from projections.replaying.reading import history_of
from projections.replaying.report import Report, build
from tests.unit.projections.replaying.faults import FAULTS, Seeded


def report_of(seeded: Seeded) -> Report:
    history = history_of("wf_001", seeded.rows(), from_state)
    return build(history, seeded.definitions, seeded.family.get, lambda _, __: None)


@pytest.mark.parametrize("name", FAULTS)
def test_the_first_cause_of_a_seeded_fault_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seeded = FAULTS[name](monkeypatch)
    told = json.loads(json.dumps(document_of(report_of(seeded))))
    cause = told["first_cause"]
    assert (cause["kind"], cause["version"], cause["workflow"], cause["fault"]) == (
        seeded.kind.value,
        seeded.version,
        seeded.workflow,
        seeded.fault,
    ), (cause, [f"{one['version']} {one['what']}" for made in told["decisions"] for one in made["transitions"]])


def test_every_kind_of_cause_is_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {make(monkeypatch).kind for make in FAULTS.values()} == set(Kind)
