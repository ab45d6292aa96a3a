"""Pages of alerts, silences and SLOs."""
