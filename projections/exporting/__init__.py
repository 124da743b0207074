"""Exports: histories out of the log, as files that others can read, and hold against their digests without Handrail."""
