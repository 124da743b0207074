"""Reports for incident reviews: the folder, and the page in a real browser."""
