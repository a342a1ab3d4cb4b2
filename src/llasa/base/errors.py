"""The one exception that carries a sentence for the user."""


class LlasaError(ValueError):
    """Bad input or a missing part: says what was given, what is valid and what to do.

    The command line prints the sentence and exits with 2, the server answers with a 4xx.
    """


def first_line(error: BaseException) -> str:
    """What an exception says, cut to fit into a sentence of ours."""
    return str(error).strip().partition("\n")[0].rstrip(".")
