"""The workflow definitions that ship with Handrail."""
