"""Labels beside the main losses: phones, pitch, alignment."""
