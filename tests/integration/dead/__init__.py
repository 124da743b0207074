"""Dead letters on a real broker: why they are there, and the ways back."""
