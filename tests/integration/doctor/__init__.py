"""`handrail doctor` on real servers: each planted fault by its line."""
