"""Looking for pending approvals in a view that is far behind: a page looks at so many workflows, and leads on."""

import pytest

from deploy.http import looking
from deploy.http.looking import Look
from handrail import Runtime
from tests.integration.flows import ASKING, CHAIN, run, until


async def test_a_page_looks_at_so_many_workflows_only_and_leads_on(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "CANDIDATES", 2)
    monkeypatch.setattr(looking, "MOST_LOOKED_AT", 4)
    look = Look(runtime.store)
    for definition in (*[CHAIN] * 7, ASKING, CHAIN):
        await run(runtime, definition)
    await until(lambda: look._behind() == 0)
    # As if the view had not come to their ends.
    with runtime.store.transaction() as cursor:
        cursor.execute("UPDATE workflows SET ended_at = NULL, waits = 'ask:approval'")
    pages = []
    after: str | None = ""
    while after is not None:
        page = await look.pending(definition=None, after=after, limit=50)
        pages.append([one.state.workflow_id for one in page.approvals])
        after = page.after
    assert pages == [[], ["wf_008"], []]
