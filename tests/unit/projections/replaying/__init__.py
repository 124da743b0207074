"""What a history tells of itself."""
