"""Training of the language model (paper section 3.1)."""
