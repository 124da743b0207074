"""What originates: goals and approvals sent in, step commands relayed out, timers that fall due."""
