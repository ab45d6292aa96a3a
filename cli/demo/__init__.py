"""The scenario that a newcomer sees first."""
