"""The parts of exports, each by itself."""
