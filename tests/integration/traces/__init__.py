"""Traces of workflows on the real stack."""
