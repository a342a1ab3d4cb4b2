"""Recognisers, and how close what they heard is to what was to be said."""
