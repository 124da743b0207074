"""Traces: spans of decisions, claims, attempts and messages, by OpenTelemetry, where a setting asks for them."""
