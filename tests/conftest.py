"""What all tests share: lines about the whole run, beside pytest's own."""

from tests.crash.report import pytest_terminal_summary

__all__ = ["pytest_terminal_summary"]
