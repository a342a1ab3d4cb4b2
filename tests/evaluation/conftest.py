"""The tiny model and recordings."""

from tiny_model import tiny

__all__ = ["tiny"]
