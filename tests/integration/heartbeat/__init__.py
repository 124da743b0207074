"""The heartbeat: sent, completed, hidden, and removed after a day; on SQLite by itself, and served for real."""
