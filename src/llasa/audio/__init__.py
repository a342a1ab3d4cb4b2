"""Sound as arrays: reading, checking, writing, encoding, stretching, mel spectrograms."""
