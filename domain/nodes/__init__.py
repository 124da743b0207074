"""The engine's nodes, one file each: (state, trigger) to events, as pure functions."""
