"""Golden histories, folded and decided again."""
