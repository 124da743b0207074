"""Faults on the real stack: hundreds or thousands of workflows while everything they stand on dies again and again."""
