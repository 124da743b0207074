"""The tests of the rooms' tables once more, on PostgreSQL: whatever holds on SQLite holds there."""
