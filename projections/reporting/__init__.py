"""What a workflow's history tells, as one HTML page for an incident review.

Everything that is judged is judged by `projections.replaying`: here it is only laid out. Pure; the same report gives
the same bytes.
"""
