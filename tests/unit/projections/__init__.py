"""The views: folds, rows, keeper, projector."""
