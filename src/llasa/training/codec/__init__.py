"""Training of the codec (paper section 3.2)."""
