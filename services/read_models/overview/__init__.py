"""What the pages show, as values: fleet, one model, alerts, rollouts."""
