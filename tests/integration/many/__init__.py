"""The same act on many workflows, on a home and on a store that others serve."""
