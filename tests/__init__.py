"""Handrail's tests, one folder for each kind of question they ask."""
