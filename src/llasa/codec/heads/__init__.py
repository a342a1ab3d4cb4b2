"""From the decoder's frames to sound: one file a head."""
