"""The spans that are emitted, and how they are tied."""
