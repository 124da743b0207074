"""Versions side by side: of a user's definition, of the messages on the wire, of the tables in the store."""
