"""What executes: deliveries in, one attempt, one recorded outcome."""
