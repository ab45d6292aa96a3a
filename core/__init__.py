"""The words everyone uses."""

__version__ = "0.1.0"
