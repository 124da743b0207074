"""The workflow definition: planner, activities, approval policy and artifact, put together."""

from datetime import timedelta

from deploy.examples.vendor_onboarding.acceptance import AcceptedVendorInput
from deploy.examples.vendor_onboarding.activities import (
    APPROVAL_POLICY,
    docs_collect,
    final_decision,
    papers_request,
    plan_review,
    policy_screen,
    release_vendor_number,
    reserve_vendor_number,
    write_decision,
)
from deploy.examples.vendor_onboarding.policy import shipped_policy
from handrail import ApprovalPolicy, Definition

_POLICY = shipped_policy()

vendor_onboarding_review = Definition(
    name="vendor onboarding review",
    version="1",
    planner=plan_review,
    activities=[
        docs_collect,
        papers_request,
        reserve_vendor_number,
        release_vendor_number,
        policy_screen,
        final_decision,
    ],
    approvals=[
        ApprovalPolicy(
            name=APPROVAL_POLICY,
            version=_POLICY.version,
            approvers=("*",),
            required=1,
            four_eyes=True,
            deadline=timedelta(days=_POLICY.approval_within_days),
            proposed_controls=(_POLICY.proposed_control,),
        )
    ],
    artifact=write_decision,
    input_model=AcceptedVendorInput,
)
