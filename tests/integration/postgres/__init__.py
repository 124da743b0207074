"""What only PostgreSQL does: races, loss of connections, migrations, settings that are refused."""
