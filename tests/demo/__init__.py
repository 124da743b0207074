"""Demonstrations on real servers, run by make."""
