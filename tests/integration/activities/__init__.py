"""Step commands on the real broker and database: workers that die, commands that are revoked, doubled or forged."""
