"""A home has no consumers in other languages: a definition that needs them is refused there, before anything begins."""

from pathlib import Path

import pytest

from domain.errors import InputInvalid
from handrail import Definition, Runtime, Step, activity


@activity(effect="pure", foreign=True, queue="papers")
async def read_papers(given: dict[str, str]) -> dict[str, str]:
    raise NotImplementedError


async def test_a_definition_with_foreign_activities_is_refused_on_a_home(tmp_path: Path) -> None:
    definition = Definition("reading", steps=[Step("read", read_papers)])
    async with Runtime(tmp_path, definitions=[definition], examples=False) as runtime:
        with pytest.raises(InputInvalid, match=r"read_papers.*need a broker"):
            await runtime.start("reading")
        assert runtime.store.workflow_ids() == []
