"""The HTTP server: ``llasa serve``."""
