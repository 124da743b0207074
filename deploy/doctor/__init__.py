"""`handrail doctor`: what is looked at, and what is said about it. Each check is bounded, and none stops the others."""
