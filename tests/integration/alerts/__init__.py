"""Alerts, from real processes to a real receiver."""
