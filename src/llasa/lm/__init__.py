"""A plain Llama and the engines that run it; knows nothing of speech."""
