"""Tasks: what models predict, and how good that was."""
