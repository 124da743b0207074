"""Archiving: closed workflows go to a file, and, once that is verified, from the store; a tombstone stays of each."""
