"""Other services on the real stack: RabbitMQ, PostgreSQL, and a process that serves every role."""
