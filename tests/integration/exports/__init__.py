"""Exports of real stores: what is in them, whether they verify, and what is found in those that were tampered with."""
