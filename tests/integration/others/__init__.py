"""Services beside Handrail, in other languages, as the examples have them."""
