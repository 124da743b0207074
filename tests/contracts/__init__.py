"""One abstract suite for each port, run by every implementation of it."""
