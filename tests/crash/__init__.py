"""The real process, killed at every fault point and started again."""
