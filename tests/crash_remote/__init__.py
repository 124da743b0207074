"""Serving processes on PostgreSQL and RabbitMQ, killed at every fault point and started again."""
