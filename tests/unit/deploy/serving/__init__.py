"""What serving processes are made of."""
