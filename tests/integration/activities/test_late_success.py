"""A workflow is cancelled while its attempt runs in another process, and the attempt succeeds after all."""

from tests.integration.activities.recipes import INSISTING
from tests.integration.activities.site import Site
from tests.integration.serving.deployment import until


def test_a_cancelled_workflow_undoes_what_ends_after_all(site: Site) -> None:
    site.serve_all_but_activities()
    site.serve_activities()
    site.start(INSISTING, "wf_1")
    until(lambda: site.counted("begun"), "nothing began")
    site.cancel("wf_1")
    asked = "SELECT 1 FROM inbox WHERE workflow_id = ? AND cancel IS NOT NULL"
    until(lambda: site.deployment.store.query(asked, ("wf_1",)), "the attempt is not asked to stop")
    assert site.deployment.statuses(["wf_1"]) == {"wf_1": "stopping"}
    site.open_the_gate()
    site.until_status("cancelled", "wf_1")
    assert [what for what, _, _ in site.calls] == ["begun", "ended", "undone"]
    names = [one.name for one in site.deployment.store.read("wf_1")]
    assert names.count("StepSucceeded") == 1
    assert "LateOutcomeRecorded" not in names
