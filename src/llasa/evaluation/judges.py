"""Judges: verifiers that score the reported speech, apart from those that chose it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from llasa.audio.audio import Audio
from llasa.evaluation.statistics import Pair
from llasa.verifiers import Candidate, Verifier, find_verifiers, verify
from llasa.verifiers.asr.word_errors import errors
from llasa.verifiers.base import speech
from llasa.verifiers.content import Content
from llasa.verifiers.registry import VerifierSpec

OPINION = ("distillmos", "dnsmos", "utmos")
"""Families whose scores are opinion scores, 1 to 5."""
UNPROVEN = ("wavlm", "utmos", "paraformer")
"""Networks of our own for published weights, whose results were never compared with theirs."""
JUDGES = "whisper,ge2e,distillmos"
"""Default judges, of other families than the default verifiers of a search."""


@dataclass
class Judgement:
    """What the judges found in one utterance.

    measures: pairs by name, such as "WER whisper" or "SIM-o ge2e".
    heard: transcripts by judge.
    unscored: why a judge gave no score.
    """

    measures: dict[str, Pair] = field(default_factory=dict)
    heard: dict[str, str] = field(default_factory=dict)
    unscored: dict[str, str] = field(default_factory=dict)

    @property
    def error_rate(self) -> float | None:
        """That of the first judge of content; None where there is none."""
        kinds = ("WER ", "CER ")
        rates = (a / b for name, (a, b) in self.measures.items() if name.startswith(kinds))
        return next(rates, None)


class Judges:
    """Judges of one language.

    Args:
        specs: names as `find_verifiers` takes them, or verifiers.
        language: of the speech.
        chosen_by: verifiers that took part in choosing (or training) what is judged.
        both: those that chose judge, too, so that they can be compared with the others; `names`
            and `families` leave them out.
        device: where judges with a checkpoint of their own run, see `find_verifier`.
    """

    def __init__(
        self,
        specs: VerifierSpec = JUDGES,
        language: str = "en",
        chosen_by: VerifierSpec = (),
        both: bool = False,
        device: str | None = None,
    ) -> None:
        self.verifiers = find_verifiers(specs, language, device=device)
        self.choosers = find_verifiers(chosen_by, language, again=True, device=device)
        more = [chooser for chooser in self.choosers if both and chooser.name not in self.names]
        self.all = [*self.verifiers, *more]

    def load(self) -> None:
        """Open all models; `LlasaError` where one is missing."""
        for verifier in self.all:
            verify(verifier, [])

    @property
    def names(self) -> list[str]:
        """Names of the judges, in order."""
        return [verifier.name for verifier in self.verifiers]

    @property
    def families(self) -> list[str]:
        """Families of the judges, in order, each once."""
        return list(dict.fromkeys(verifier.family for verifier in self.verifiers))

    @property
    def choosing_families(self) -> list[str]:
        """Families of the verifiers that chose, in order, each once."""
        return list(dict.fromkeys(verifier.family for verifier in self.choosers))

    @property
    def warnings(self) -> list[str]:
        """One for each judge whose family also chose, as its scores are biased, and for each that
        may not be what its name says.
        """
        biased = [
            f"The judge {verifier.name} is of the family {verifier.family}, which also chose what "
            "it judges: its scores are too good, trust those of other families."
            for verifier in self.verifiers
            if verifier.family in self.choosing_families
        ]
        return biased + [
            f"The judge {name} runs published weights in a network of our own, which was never "
            "compared with the original: compare its scores with each other, not with published "
            "ones."
            for name in self.names
            if name.partition(":")[0] in UNPROVEN
        ]

    def __call__(
        self, candidate: Candidate, resynthesis: Audio | None = None, opening: Audio | None = None
    ) -> Judgement:
        """Judge one utterance.

        Args:
            candidate: text, audio and the recording it shall be like; judges that lack what they
                need give no score, and say why.
            resynthesis: the prompt after the codec. Likeness to it is "SIM-r", to the prompt itself
                "SIM-o"; without it there is only "SIM". Nothing is compared with itself.
            opening: audio before the candidate's whose words belong to the text. Only judges of
                content hear it.
        """
        found = Judgement()
        for verifier in self.all:
            if isinstance(verifier, Content):
                _listen(verifier, candidate, opening, found)
            elif "prompt" not in verifier.needs:
                mos = verifier.family in OPINION
                _score(verifier, candidate, f"{'MOS' if mos else 'score'} {verifier.name}", found)
            else:
                original = "SIM" if resynthesis is None else "SIM-o"
                for name, like in ((original, candidate.prompt), ("SIM-r", resynthesis)):
                    if like is not None and like is not candidate.audio:
                        pair = replace(candidate, prompt=like)
                        _score(verifier, pair, f"{name} {verifier.name}", found)
        return found


def _score(verifier: Verifier, candidate: Candidate, name: str, found: Judgement) -> None:
    verdict = verify(verifier, [candidate])
    (reason,) = verdict.reasons
    if reason is None:
        found.measures[name] = (float(verdict.scores[0]), 1.0)
    else:
        found.unscored[name] = reason


def _listen(judge: Content, candidate: Candidate, opening: Audio | None, found: Judgement) -> None:
    """Errors over words and over characters (spaces and punctuation left out).

    Nothing is heard in silence, or where there is no audio: then all of the text is wrong.
    """
    if candidate.text is None:
        return
    heard = ""
    if candidate.audio.samples.any():
        clip = candidate.audio if opening is None else join(opening, candidate.audio)
        (transcript,) = judge.recognizer.transcribe([speech(clip)])
        heard = transcript.text
    found.heard[judge.name] = heard
    wanted, said = judge.units(candidate.text), judge.units(heard)
    if not wanted:
        found.unscored[judge.name] = "its text has no words"
        return
    if judge.by_word:
        found.measures[f"WER {judge.name}"] = (float(errors(wanted, said)), float(len(wanted)))
    letters, spoken = ([c for c in "".join(units) if c.isalnum()] for units in (wanted, said))
    found.measures[f"CER {judge.name}"] = (float(errors(letters, spoken)), float(len(letters)))


def join(first: Audio, second: Audio) -> Audio:
    """Both sounds joined, mono, at the rate of the second."""
    start = first.mono().resample(second.rate).samples
    return Audio(np.concatenate([start, second.mono().samples]), second.rate)
