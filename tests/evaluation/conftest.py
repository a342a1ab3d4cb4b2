"""The tiny model and recordings."""

from tests.tiny_model import tiny

__all__ = ["tiny"]
