"""What speaks to RabbitMQ, tried on a real one that is full, blocked, cut off, stalled and killed."""
