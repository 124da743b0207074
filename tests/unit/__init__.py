"""One decision at a time: given these events, when this trigger, then those events."""
