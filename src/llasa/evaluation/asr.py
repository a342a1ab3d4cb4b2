"""What recognisers hear in recordings whose words are known (paper table 3)."""

from __future__ import annotations

import time
from collections.abc import Sequence

from llasa.audio.audio import Audio, read_audio
from llasa.base.errors import LlasaError
from llasa.evaluation.experiment import Experiment, Row
from llasa.evaluation.items import Item
from llasa.evaluation.judges import Judges
from llasa.models.identity import model_identity
from llasa.verifiers import Candidate
from llasa.verifiers.asr.llama import LlamaRecognizer
from llasa.verifiers.content import Content


def listeners(judges: Judges) -> dict[str, Judges]:
    """A judge alone for each recogniser, by name; `LlasaError` for one that hears no words."""
    for verifier in judges.verifiers:
        if not isinstance(verifier, Content):
            raise LlasaError(
                f"{verifier.name} does not listen to words: name recognisers, such as moonshine, "
                "whisper or llasa:FOLDER."
            )
    return {verifier.name: Judges([verifier]) for verifier in judges.verifiers}


def identities(judges: Judges) -> dict[str, str]:
    """What decides how the models of ours among the recognisers hear, by name."""
    ours = [v for v in judges.verifiers if isinstance(v, Content)]
    return {
        content.name: model_identity(content.recognizer.files, {})
        for content in ours
        if isinstance(content.recognizer, LlamaRecognizer)
    }


def evaluate_asr(
    items: Sequence[Item], recognizers: dict[str, Judges], experiment: Experiment
) -> list[Row]:
    """Transcribe every recording with every recogniser; rows item by item.

    WER and CER are those of `Judges`; RTF is seconds of work for a second of audio, one recording
    at a time.
    """
    for judge in recognizers.values():
        judge.load()
    by_id = {item.id: item for item in items}
    tasks = [(item.id, name) for item in items for name in recognizers]

    def listen(id: str, name: str) -> tuple[Row, Audio | None]:
        item = by_id[id]
        assert item.audio is not None
        audio = read_audio(item.audio).mono()
        began = time.perf_counter()
        found = recognizers[name](Candidate(item.words, audio))
        took = time.perf_counter() - began
        measures = {measure.split()[0]: pair for measure, pair in found.measures.items()}
        measures["RTF"] = (took, audio.duration)
        row: Row = {"kind": item.kind, "text": item.text, **vars(found), "measures": measures}
        return row, audio if name == next(iter(recognizers)) else None

    return experiment.work(tasks, listen, "eval asr")
