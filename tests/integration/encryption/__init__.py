"""Encrypted payloads, and what erasing leaves, on real homes."""
