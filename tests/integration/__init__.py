"""Whole processes, driven as a user or another service drives them."""
