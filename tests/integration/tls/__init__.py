"""TLS to the broker, its management interface and the database, by a private authority and with client certificates."""
