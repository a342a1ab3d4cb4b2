"""Speech tokens beside the words of a base tokenizer: ids, prompts and training rows."""
