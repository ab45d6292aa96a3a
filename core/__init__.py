"""Types that all layers share."""

__version__ = "0.1.0"
