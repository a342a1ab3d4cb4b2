"""From text to speech with a loaded model: whole, in chunks, in long books, checked."""
