"""Values of the overview pages: fleet, model, alerts, rollouts."""
