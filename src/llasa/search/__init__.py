"""Search at inference: candidates of one text, judged by verifiers (paper section 3.4)."""
