"""Learning from search: what a model found with many takes it learns to say at once."""
