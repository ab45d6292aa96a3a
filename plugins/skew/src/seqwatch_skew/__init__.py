"""Training-serving skew: comparison of features, and diagnosis of their differences."""
