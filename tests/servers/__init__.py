"""Servers that belong to the tests: a RabbitMQ node, a PostgreSQL cluster, and a TCP proxy that can be cut."""
