"""What is true of a workflow: its states, triggers and decisions, with no clock, no chance and no IO."""
