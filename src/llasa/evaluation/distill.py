"""What learning from search gains at one take, by judges that took no part in choosing."""

from __future__ import annotations

from functools import partial
from typing import Any

from llasa.audio.audio import Audio
from llasa.evaluation.experiment import Experiment, Row
from llasa.evaluation.items import Item
from llasa.evaluation.judges import Judges
from llasa.evaluation.report import Report
from llasa.evaluation.tts import Sounds, attempt, judged
from llasa.models.identity import file_identity
from llasa.training.distill.run import Distillation
from llasa.training.pinned import SETTINGS_FILE
from llasa.tts.llasa import Llasa

START = "start"
JUDGES = ("whisper", "distillmos")
"""By default: of words and of quality; what chooses by default is of another family."""


class Curve:
    """Judges the model before the first round and after each, on the texts that were held out.

    What was judged is kept in the folder `report` of the work in progress.
    """

    def __init__(self, job: Distillation, judges: Judges, command: str) -> None:
        judges.load()
        self._job, self._judges = job, judges
        pinned = file_identity(job.work / SETTINGS_FILE)
        settings: dict[str, Any] = {"settings": pinned, "judges": judges.names}
        settings["chosen_by"] = [verifier.name for verifier in judges.choosers]
        self._experiment = Experiment(job.work / "report", settings, command)
        self._items = {f"{n:04d}": Item(f"{n:04d}", text) for n, text in enumerate(job.held_out)}
        self._rows: list[Row] = []

    def judge(self, round: int) -> Report:
        """Speak with the model of a round (0: the start), one take a text with the same seed."""
        job, judges = self._job, self._judges
        tts = Llasa.load(job.model(round), device=job.settings.device)
        known = Sounds(None, None, None, None, None, tts.codec.frame_rate)
        how: Any = {"voice": job.voice(tts), "seed": job.settings.seed}

        def speak(id: str, system: str) -> tuple[Row, Audio | None]:
            item = self._items[id]
            speech, row = attempt(partial(tts, item.text or "", **how))
            audio = None if speech is None else speech.audio
            return {**judged(item, audio, known, judges, speech), **row}, audio

        system = f"round {round}" if round else START
        self._rows += self._experiment.work([(id, system) for id in self._items], speak, "judge")
        title = f"{job.settings.base}, learning from search by {job.settings.verify}"
        against = START if round else None
        return Report(title, self._experiment, judges, self._rows, against=against, across=True)
