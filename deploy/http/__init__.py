"""The HTTP endpoint: approvals shown and decided, goals accepted, workflows looked at and operated. JSON both ways."""
