"""A model before and after it was fine-tuned, judged on what was held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from llasa.audio.audio import Audio
from llasa.evaluation.experiment import RECORDING, Experiment, Row
from llasa.evaluation.items import Item
from llasa.evaluation.judges import Judges
from llasa.evaluation.report import Report
from llasa.evaluation.statistics import Estimate, Pair, estimate
from llasa.evaluation.tts import RESYNTHESIS, Sounds, attempt, judged
from llasa.lm.checkpoint import load_llama
from llasa.models.identity import file_identity
from llasa.models.voice import Voice
from llasa.models.voices import VoiceLike
from llasa.training.finetune.run import Finetune
from llasa.training.lm.data import LMBatches, LMDataSettings
from llasa.training.lm.objective import Objective
from llasa.training.lm.settings import LMTraining
from llasa.training.pinned import SETTINGS_FILE
from llasa.tts.llasa import Llasa

BEFORE, AFTER, LOSS = "before", "after", "loss"
JUDGES = ("whisper", "ge2e")
"""By default: of words and of voices, and neither takes part in training."""
CODEC_LOSS, LITTLE_MINUTES = 0.1, 10.0
"""Words in all that a codec may lose, and minutes of a voice, before advice is given."""


class Comparison:
    """Judges recordings, the same after the codec, and the model before and after.

    What was judged is kept in the folder `report` of the work in progress, so it goes on where it
    was interrupted.
    """

    def __init__(self, job: Finetune, judges: Judges, limit: int, command: str) -> None:
        judges.load()
        self._job, self._judges = job, judges
        self._items = {item.id: item for item in items_of(job, limit)}
        config = file_identity(job.work / SETTINGS_FILE)
        settings = {"settings": config, "judges": judges.names}
        self._experiment = Experiment(job.work / "report", settings, command)
        self._losses: dict[str, Estimate] = {}
        self._rows: list[Row] = []

    def before(self) -> Report:
        """Of the recordings, the codec and the base, in a voice made of a clip where it clones."""
        job = self._job
        voices: dict[str, VoiceLike] = {}
        for name in job.speakers:
            clip, clones = job.clip(name), job.base.capabilities.can_clone
            if clip is not None and clones:
                voices[name] = Voice.from_audio(clip.path, clip.text or "", job.codec, "clip")
        recorded = all(item.audio is not None for item in self._items.values())
        systems = [*([RECORDING, RESYNTHESIS] if recorded else []), BEFORE]
        return self._report(systems, job.base, voices, job.files.lm)

    def after(self) -> Report:
        """Of the model that was packed; what `before` found is in it, too."""
        job = self._job
        tts = Llasa.load(job.settings.out, device=job.settings.device)
        voices: dict[str, VoiceLike] = {voice.name: voice for voice in job.voices}
        return self._report([AFTER], tts, voices, tts.files.lm)

    def _report(
        self, systems: Sequence[str], tts: Llasa, voices: Mapping[str, VoiceLike], lm: Path
    ) -> Report:
        job, judges = self._job, self._judges

        @lru_cache(maxsize=1)
        def sounds(id: str) -> Sounds:
            return Sounds.of(self._items[id], job.codec)

        def judge(id: str, system: str) -> tuple[Row, Audio | None]:
            item, known = self._items[id], sounds(id)
            if system in (RECORDING, RESYNTHESIS):
                audio = known.recording if system == RECORDING else known.resynthesis
                return judged(item, audio, known, judges), audio
            voice = voices.get(item.kind or job.speakers[0])
            how: Any = {"seed": 0, "language": job.language, "force": True}
            speech, row = attempt(partial(tts, item.text or "", voice=voice, **how))
            audio = None if speech is None else speech.audio
            return {**judged(item, audio, known, judges, speech), **row}, audio

        def extra(rows: Sequence[Row]) -> dict[str, Estimate]:
            loss = self._losses.get(rows[0]["system"]) if rows else None
            # It is of all that is held out; the table counts what was spoken.
            return {} if loss is None else {LOSS: loss._replace(utterances=len(rows))}

        self._losses[systems[-1]] = held_out_loss(job, lm, named=systems[-1] == AFTER)
        tasks = [(id, system) for id in self._items for system in systems]
        self._rows += self._experiment.work(tasks, judge, "judge")
        title = f"{job.settings.base}, fine-tuned: {', '.join(job.speakers)}"
        against = BEFORE if AFTER in systems else None
        rows = self._rows
        return Report(title, self._experiment, judges, rows, extra=extra, against=against)


def items_of(job: Finetune, limit: int) -> list[Item]:
    """What is held out; each is to sound like another held-out recording of its speaker.

    Of token shards there are only the texts. The kind of an item is its speaker, where there are
    several.
    """
    several = len(job.speakers) > 1
    if not job.test_rows:
        some = [job.test_tokens[n] for n in range(min(limit, len(job.test_tokens)))]
        return [
            Item(f"{n:05d}", str(item.text), kind=item.speaker if several else None)
            for n, item in enumerate(some)
        ]
    items = []
    for number, row in enumerate(job.test_rows[:limit]):
        kind = row.speaker if several else None
        item = Item(f"{number:05d}", row.text, row.path, kind=kind)
        others = [o for o in job.test_rows if o.speaker == row.speaker and o is not row]
        if others:  # else it is to sound like the recording of its own text
            like = others[number % len(others)]
            item = replace(item, prompt=like.path, prompt_text=like.text)
        items.append(item)
    return items


@torch.no_grad()
def held_out_loss(job: Finetune, lm: Path, named: bool) -> Estimate:
    """Nats a token of held-out rows, with the speakers' names or without, with its interval."""
    data = LMDataSettings(speaker_names=named, max_tokens=job.files.settings.max_tokens)
    settings = LMTraining(str(lm), data=data, full_vocabulary=False)
    batches = LMBatches(data, job.test_tokens, job.vocabulary, 0)
    device = job.codec.device
    objective = Objective(load_llama(lm, device=device), settings, job.vocabulary)
    pairs: list[Pair] = []
    for number in range(len(job.test_tokens)):
        batch = batches.collate([batches.row(number)]).to(device)
        pairs.append((float(objective(batch).codes.sum()), float(batch.learnt())))
    return estimate(pairs)


def advice(job: Finetune, before: Report) -> list[str]:
    """What the data, and how tokenizer and codec cover it, let expect: sentences."""
    return [*data_advice(job), *codec_advice(before)]


def data_advice(job: Finetune) -> list[str]:
    """How much of a voice there is, and whether the text tokenizer has its letters."""
    found = []
    rate = job.codec.frame_rate * 60
    minutes = float(job.train_tokens.lengths().sum()) / rate / len(job.speakers)
    if minutes < LITTLE_MINUTES:
        found.append(
            f"The data has {minutes:.1f} minutes a voice: {LITTLE_MINUTES:g} and more let the "
            "model learn how it speaks, and not only how it sounds."
        )
    texts = [str(job.train_tokens[n].text) for n in range(min(1000, len(job.train_tokens)))]
    encode = job.vocabulary.text_tokenizer
    lost = sorted(
        {c for text in texts for c in text}
        - {c for text in texts for c in encode.decode(job.vocabulary.encode_text(text))}
    )
    if lost:
        found.append(f"The tokenizer cannot write {' '.join(lost)}: respell these characters.")
    tokens = sum(len(job.vocabulary.encode_text(text)) for text in texts)
    letters = sum(map(len, texts))
    if job.vocabulary.style == "llama3" and tokens > letters / 2:
        found.append(
            f"The tokenizer takes {tokens / letters:.1f} tokens a character, as of a language that "
            "it hardly knows: give many hours of it, or begin with a multilingual model."
        )
    return found


def codec_advice(report: Report) -> list[str]:
    """Whether the codec keeps the words of the recordings."""
    systems = report.estimates["all"]
    found = []
    for measure, value in systems.get(RESYNTHESIS, {}).items():
        kind, _, judge = measure.partition(" ")
        same = systems[RECORDING].get(measure)
        if kind == "WER" and same is not None and value.value - same.value > CODEC_LOSS:
            found.append(
                f"The codec loses words of this voice: {judge} hears {same.value:.0%} of them "
                f"wrong in the recordings, {value.value:.0%} after the codec. A model cannot speak "
                "better than its codec: train that on these recordings first (llasa train codec)."
            )
    return found
