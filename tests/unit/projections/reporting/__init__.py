"""One workflow as a page."""
