"""The speech codec: sound to one code every 20 ms, and back."""
