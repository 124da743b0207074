"""What the contracts of the store share: how a backend says where its database is, and several processes on it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import pytest

from domain.faultpoints import arm
from domain.store.application import WorkflowStore
from domain.triggers import PauseWorkflow, ResumeWorkflow
from tests.contracts.stage import Stage

PAUSE = PauseWorkflow(by="ann", reason="lunch")
RESUME = ResumeWorkflow(by="ann", reason="back")


class Staged(ABC):
    @abstractmethod
    def opened(self, place: Any, **options: Any) -> WorkflowStore:
        """A store on the test's database: each call is as another process."""

    @abstractmethod
    @pytest.fixture
    def place(self) -> Any:
        """Where the test's database is."""

    @pytest.fixture
    def stages(self, place: Any) -> Iterator["Stages"]:
        stages = Stages(self, place)
        yield stages
        arm(None)
        stages.close()

    @pytest.fixture
    def stage(self, stages: "Stages") -> Stage:
        return stages.open("one")

    @pytest.fixture
    def other(self, stages: "Stages", stage: Stage) -> Stage:
        """A second process; the inbox knows it by the same owner, so that either may complete a command."""
        return stages.open("one")


class Stages:
    """The processes of one test."""

    def __init__(self, contract: Staged, place: Any) -> None:
        self._contract = contract
        self._place = place
        self._open: list[Stage] = []

    def open(self, owner: str, **options: Any) -> Stage:
        def opened(**more: Any) -> WorkflowStore:
            return self._contract.opened(self._place, **more)

        stage = Stage(opened, owner, **options)
        self._open.append(stage)
        return stage

    def close(self) -> None:
        for stage in self._open:
            stage.store.close()
