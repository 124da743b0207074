"""The HTTP endpoint over a real runtime on a real home."""
