"""What puts the parts together and runs them: the only place where they meet."""
