"""Tests of the store that need no contract: one backend, one class, one function."""
