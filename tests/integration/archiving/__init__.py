"""Archiving, on both stores."""
