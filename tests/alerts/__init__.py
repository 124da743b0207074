"""The alerts that are shipped, each by itself: when it fires, what it reads, where it leads."""
