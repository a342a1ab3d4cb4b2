"""Verifiers judge candidates; search chooses by what they say.

    from llasa.verifiers import Candidate, find_verifier, verify

    verdict = verify(find_verifier("content"), [Candidate(text="Good morning.", audio=audio)])
    verdict.scores, verdict.reasons, verdict.cost

Any object with a name, a family, needs and `score` is a verifier (`Verifier`; docs/search.md has
examples): pass it wherever a verifier's name is taken, or give it a name for everybody, the command
line included, in the `pyproject.toml` of the package that holds it:

    [project.entry-points."llasa.verifiers"]
    brisk = "my_package:Brisk"
"""

from llasa.verifiers.base import NEEDS, Candidate, Cost, Verdict, Verifier, verify
from llasa.verifiers.registry import find_verifier, find_verifiers, verifier_names

__all__ = [
    "NEEDS",
    "Candidate",
    "Cost",
    "Verdict",
    "Verifier",
    "find_verifier",
    "find_verifiers",
    "verifier_names",
    "verify",
]
