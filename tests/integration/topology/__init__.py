"""The topology and the rights, applied to a real broker and tried there."""
