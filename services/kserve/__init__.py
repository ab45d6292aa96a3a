"""From the two events of KServe's logger to one batch of predictions."""
