"""Model folders and voices: finding, reading, packing."""
