"""From recordings of a voice, or their tokens, to a model that speaks with it."""
