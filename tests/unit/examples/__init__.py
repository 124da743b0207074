"""The vendor onboarding example: its pure parts one by one, then the activities around them."""
