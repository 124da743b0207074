"""Who granted what, kept apart from the workflow's own ballots: a grant is what its policy asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain import events as e
from domain.nodes.approval_wait import EXPIRY
from domain.policies import ANYONE


@dataclass
class Approvals:
    """The open round of each step, whether it was escalated, and the votes counted in it."""

    open: dict[str, e.ApprovalRequested] = field(default_factory=dict)
    escalated: set[str] = field(default_factory=set)
    votes: dict[str, list[e.ApprovalRecorded]] = field(default_factory=dict)

    def observe(self, event: e.Event) -> None:
        """What the workflow recorded."""
        if isinstance(event, e.ApprovalRequested):
            self.open[event.step] = event
            self.escalated.discard(event.step)
            self.votes[event.step] = []
        elif isinstance(event, e.ApprovalEscalated):
            self.escalated.add(event.step)
        elif isinstance(event, e.ApprovalRecorded):
            self._counted(event)
        elif isinstance(event, e.ApprovalGranted) and event.decided_by != (EXPIRY,):
            grants = [vote.decided_by for vote in self.votes[event.step] if vote.decision == "approve"]
            assert list(event.decided_by) == grants, "granted by whoever voted for it"
            assert len(grants) >= self.open[event.step].required, "granted by too few"

    def _counted(self, vote: e.ApprovalRecorded) -> None:
        asked = self.open[vote.step]
        people = asked.approvers + (asked.escalate_to if vote.step in self.escalated else ())
        assert vote.round == asked.round, "a vote counts within its round"
        assert vote.decided_by in people or ANYONE in people, f"{vote.decided_by} may not decide"
        assert vote.decided_by not in asked.barred, f"{vote.decided_by} may not decide what they asked for"
        assert vote.decided_by not in [one.decided_by for one in self.votes[vote.step]], "one vote a person"
        self.votes[vote.step].append(vote)
