"""Judges a model's speech: words, likeness, quality, failures and speed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from llasa.audio.audio import Audio, read_audio
from llasa.base.errors import LlasaError
from llasa.codec.protocol import CodecLike
from llasa.evaluation.experiment import RECORDING, Experiment, Row, as_file
from llasa.evaluation.items import Item
from llasa.evaluation.judges import Judges, join
from llasa.evaluation.statistics import failed, ran_away
from llasa.models.voice import Voice
from llasa.models.voices import VoiceLike
from llasa.search.strategies import Strategy
from llasa.tts.llasa import Llasa
from llasa.tts.speech import Speech
from llasa.verifiers import Candidate
from llasa.verifiers.tokens import Length

RESYNTHESIS, SYNTHESIS, WRITTEN = "resynthesis", "synthesis", "written"
"""Systems of a report beside the recordings: the same after the codec, the model, and the model
given the words that are `said`."""
SYSTEMS = (RECORDING, RESYNTHESIS, SYNTHESIS, WRITTEN)


class Speak(Protocol):
    """Speaks items, plainly or with a search."""

    def __call__(self, item: Item, search: Strategy | None = None, /) -> Speech: ...


def speaker(tts: Llasa, seed: int = 0, **settings: Any) -> Speak:
    """Speaks items with the voice of their prompts, or the model's own where they have none.

    `settings` are those of `Llasa`, the same for every item, as is the seed. Texts are read in the
    language of their item.
    """

    @lru_cache(maxsize=1)
    def prepare(item: Item) -> tuple[str, VoiceLike]:
        if item.opening:
            return _continuation(item, tts.codec)
        text = item.text or ""
        if item.prompt is None or item.prompt_text is None:
            return text, settings.get("voice")
        return text, Voice.from_audio(item.prompt, item.prompt_text, tts.codec, "prompt")

    def speak(item: Item, search: Strategy | None = None, /) -> Speech:
        text, voice = prepare(item)
        own = {"language": item.language, **settings, "voice": voice}
        return tts(text, **own, seed=seed, search=search)

    return speak


def evaluate_tts(
    items: Sequence[Item],
    speak: Callable[[Item], Speech],
    codec: CodecLike,
    judges: Judges,
    experiment: Experiment,
    recordings: bool = True,
    written: bool = False,
    peers: Mapping[str, Mapping[str, Path]] | None = None,
) -> list[Row]:
    """Speak and judge every item; rows in the order of the items.

    Likeness is to the prompt, or where there is none to the recording of the text. With
    `recordings`, these and their resynthesis by the codec are judged, too: what can be reached.
    With `written`, the model also speaks what is `said` in place of the text, which shows what is
    lost between typing and saying.
    `peers` are other systems by name, each with its recordings by the item's id (`read_peer`).
    RTF is that of one request at a time.
    """
    judges.load()
    by_id = {item.id: item for item in items}
    bounds = [RECORDING, RESYNTHESIS] if recordings else []
    spoken, others = [SYNTHESIS, *([WRITTEN] if written else [])], peers or {}
    tasks = [
        (item.id, system)
        for item in items
        for system in [*(bounds if item.audio is not None else []), *spoken, *others]
    ]

    @lru_cache(maxsize=1)
    def sounds(id: str) -> Sounds:
        return Sounds.of(by_id[id], codec)

    def judge(id: str, system: str) -> tuple[Row, Audio | None]:
        item, known = by_id[id], sounds(id)
        if system in others:
            audio = read_audio(others[system][id]).mono()
            return judged(item, audio, known, judges), audio
        if system not in spoken:
            whole = known.recording if system == RECORDING else known.resynthesis
            assert whole is not None
            audio = _split(whole, item.opening)[1] if item.opening else whole
            return judged(item, audio, known, judges), audio
        typed = item if system == SYNTHESIS else replace(item, text=item.words)
        speech, row = attempt(partial(speak, typed))
        if speech is None:
            return {**judged(item, None, known, judges), **row}, None
        row |= judged(item, speech.audio, known, judges, speech)
        row["measures"]["RTF"] = (speech.total, speech.seconds)
        return row, speech.audio

    return experiment.work(tasks, judge, "eval tts")


@dataclass(frozen=True, eq=False)
class Sounds:
    """The recordings that an item comes with, mono, and what the codec makes of them."""

    recording: Audio | None
    resynthesis: Audio | None
    opening: Audio | None
    """Beginning of the recording that is the prompt."""
    like: Audio | None
    """What the voice shall be like: opening, prompt or recording."""
    like_coded: Audio | None
    frame_rate: float
    """Codes a second of the codec."""

    @classmethod
    def of(cls, item: Item, codec: CodecLike) -> Sounds:
        recording = None if item.audio is None else read_audio(item.audio).mono()
        resynthesis = None if recording is None else resynthesise(recording, codec)
        opening, like = None, recording
        if recording is not None and item.opening:
            opening = like = _split(recording, item.opening)[0]
        elif item.prompt is not None:
            like = read_audio(item.prompt).mono()
        coded = resynthesis
        if like is not None and like is not recording:
            coded = resynthesise(like, codec)
        return cls(recording, resynthesis, opening, like, coded, codec.frame_rate)


def attempt(speak: Callable[[], Speech]) -> tuple[Speech | None, Row]:
    """Speak, to be judged as from a file.

    If that fails, the result is silence and a reason.
    """
    try:
        speech = speak()
    except LlasaError as error:
        return None, {"problem": str(error)}
    row: Row = {"seed": speech.seed, "finish": speech.finish_reason}
    return replace(speech, audio=as_file(speech.audio)), row


def judged(
    item: Item, audio: Audio | None, sounds: Sounds, judges: Judges, speech: Speech | None = None
) -> Row:
    """The judges' scores, and whether the utterance failed or did not end."""
    parts = () if speech is None else speech.search
    candidate = Candidate(text=item.words, prompt=sounds.like, frame_rate=sounds.frame_rate)
    if audio is not None:
        candidate.audio = audio
    if speech is not None:
        candidate.codes, candidate.finish = speech.codes, speech.finish_reason
    if parts:
        candidate.logprob = sum(part.best.logprob or 0.0 for part in parts)
        candidate.sampled = sum(part.best.sampled or 0 for part in parts)
    found = judges(candidate, sounds.like_coded, sounds.opening)
    total = audio if audio is None or sounds.opening is None else join(sounds.opening, audio)
    expected = _spoken(sounds.recording) or Length().expected(item.words or "")
    length = 0.0 if total is None else total.duration
    found.measures["failures"] = (float(failed(found.error_rate, _spoken(total), expected)), 1.0)
    found.measures["runaways"] = (float(ran_away(candidate.finish, length, expected)), 1.0)
    said = {} if item.said is None else {"said": item.said}
    return {"kind": item.kind, "text": item.text, **said, **vars(found)}


def resynthesise(audio: Audio, codec: CodecLike) -> Audio:
    """The sound after the codec, at the codec's rate, as from a file."""
    (samples,) = codec.decode(codec.encode([audio]), codec.speaker_embedding(audio))
    length = round(audio.duration * codec.sample_rate)
    return as_file(Audio(samples[:length], codec.sample_rate))


def _split(audio: Audio, seconds: float) -> tuple[Audio, Audio]:
    before, after = np.split(audio.samples, [round(seconds * audio.rate)])
    return Audio(before, audio.rate), Audio(after, audio.rate)


def _continuation(item: Item, codec: CodecLike) -> tuple[str, Voice]:
    """The rest of the words, and a voice of the recording's beginning.

    Where the beginning ends among the words is not known; they are shared out by time. Prompt and
    text are rendered as one, so this only matters where a text is long enough to be split.
    """
    assert item.audio is not None
    recording = read_audio(item.audio).mono()
    words = (item.text or "").split()
    said = round(len(words) * item.opening / recording.duration)
    said = max(1, min(said, len(words) - 1))
    opening = _split(recording, item.opening)[0]
    (codes,), embedding = codec.encode([opening], pad="none"), codec.speaker_embedding(opening)
    before, after = " ".join(words[:said]), " ".join(words[said:])
    return after, Voice(
        "opening", before, codes, codec.id, codec.frame_rate, speaker_embedding=embedding
    )


def _spoken(audio: Audio | None) -> float:
    """Seconds without the silence at both ends."""
    if audio is None or not audio.samples.any():
        return 0.0
    return audio.trim_silence(margin=0.0).duration
