"""Tests of what executes: outcomes, redaction, claims, attempts, settlement."""
