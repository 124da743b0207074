"""Tests of what originates: relay, timers, signals."""
