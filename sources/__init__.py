"""Sources of rows: predictions and labels that the platform pulls."""
