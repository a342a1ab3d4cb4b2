"""Named test sets, read from the folders that their authors ship."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from llasa.base.errors import LlasaError
from llasa.evaluation.items import Item, read_items, read_lines
from llasa.evaluation.judges import JUDGES

CONTINUATION = (3.0, 4.0, 10.0)
"""Seconds of the prompt, and of the shortest and longest recording (VALL-E, arXiv 2301.02111)."""
ESD_EMOTIONS = ("Angry", "Happy", "Neutral", "Sad", "Surprise")
ESD_TEST = slice(20, 50)
"""The authors' test part: the 21st to 50th recording of each speaker and emotion."""
RAVDESS_EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]
RAVDESS_TEXTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}


class Benchmark(NamedTuple):
    """How a test set is read: `load(path, root)`; `judges` that fit its question."""

    about: str
    load: Callable[[Path, Path | None], list[Item]]
    judges: str = JUDGES


def seed_tts(path: Path, root: Path | None = None) -> list[Item]:
    """Seed-TTS-Eval: `zh/meta.lst`, `zh/hardcase.lst` or `en/meta.lst`.

    Lines are `id|prompt text|prompt wav|text`, with `|wav` where there is a recording of the text
    (by default `wavs/ID.wav`). The language is the folder's name.
    """
    folder = path.parent if root is None else root
    language = path.resolve().parent.name
    items = []
    for number, fields in _table(path, "|", (4, 5)):
        name, prompt_text, prompt, text = fields[:4]
        audio = folder / (fields[4] if len(fields) == 5 else f"wavs/{name}.wav")
        if not name or not text:
            raise LlasaError(f"{path}, line {number}: it has no id or no text.")
        recording = audio if audio.is_file() else None
        spoken = language if re.fullmatch("[a-z]{2,3}", language) else None
        item = Item(name, text, recording, folder / prompt, prompt_text, language=spoken)
        items.append(item)
    return items


def librispeech_pc(path: Path, root: Path | None = None) -> list[Item]:
    """LibriSpeech-PC test-clean, cross-sentence (F5-TTS, arXiv 2410.06885).

    Lines are `prompt id, seconds, text, id, seconds, text`, with tabs; `root` is the folder
    `test-clean` of LibriSpeech (by default that beside the list).
    """
    folder = path.parent / "test-clean" if root is None else root
    return [
        Item(new, text, _libri(folder, new), _libri(folder, old), prompt_text, language="en")
        for _, (old, _, prompt_text, new, _, text) in _table(path, "\t", (6,))
    ]


def librispeech_continuation(path: Path, root: Path | None = None) -> list[Item]:
    """LibriSpeech `test-clean`: recordings of 4 to 10 s go on after their first 3 s.

    Its upper-case transcripts become sentences: a capital, small letters, a full stop.
    """
    import soundfile

    seconds, shortest, longest = CONTINUATION
    items = []
    for transcript in sorted(path.glob("*/*/*.trans.txt")):
        for _, line in read_lines(transcript):
            name, _, words = line.partition(" ")
            audio = transcript.parent / f"{name}.flac"
            if audio.is_file() and shortest <= soundfile.info(audio).duration <= longest:
                text = f"{words.strip().capitalize()}."
                items.append(Item(name, text, audio, opening=seconds, language="en"))
    return _some(items, path, "SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt and .flac files")


def esd(path: Path, root: Path | None = None) -> list[Item]:
    """Emotional Speech Dataset: a recording prompts the next text of its speaker and emotion.

    `0001` to `0010` speak Chinese, `0011` to `0020` English. Folders `SPEAKER/EMOTION`, with or
    without `test` in them, and `SPEAKER/SPEAKER.txt`. Speakers and emotions take turns.
    """
    ranked = []
    for table in sorted(path.glob("[0-9]*/[0-9]*.txt")):
        speaker = table.parent.name
        language = "zh" if int(speaker) <= 10 else "en"
        lines = [re.split(r"\t+| {2,}", line.strip()) for _, line in read_lines(table)]
        texts = {fields[0].strip(): fields[1].strip() for fields in lines if len(fields) > 1}
        for emotion in ESD_EMOTIONS:
            folder = table.parent / emotion
            split = (folder / "test").is_dir()
            clips = sorted((folder / "test" if split else folder).glob("*.wav"))
            clips = [clip for clip in clips if clip.stem in texts]
            clips = clips if split else clips[ESD_TEST]
            for rank, (prompt, audio) in enumerate(zip(clips, clips[1:] + clips[:1], strict=True)):
                text, words = texts[audio.stem], texts[prompt.stem]
                if len(clips) > 1:
                    item = Item(audio.stem, text, audio, prompt, words, 0.0, language, emotion)
                    ranked.append((rank, item))
    ranked.sort(key=lambda pair: pair[0])
    items = [item for _, item in ranked]
    return _some(items, path, "SPEAKER/SPEAKER.txt and SPEAKER/EMOTION/*.wav files")


def ravdess(path: Path, root: Path | None = None) -> list[Item]:
    """RAVDESS speech: an actor's first sentence prompts the second, for each emotion and intensity.

    `Actor_01/03-01-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR.wav`; first repetitions only.
    """
    first, second = RAVDESS_TEXTS
    items = []
    for prompt in sorted(path.glob(f"Actor_*/03-01-*-*-{first}-01-*.wav"), key=_ravdess_order):
        fields = prompt.stem.split("-")
        audio = prompt.with_name("-".join([*fields[:4], second, *fields[5:]]) + ".wav")
        if audio.is_file() and 1 <= int(fields[2]) <= len(RAVDESS_EMOTIONS):
            emotion = RAVDESS_EMOTIONS[int(fields[2]) - 1]
            words, text = RAVDESS_TEXTS[first], RAVDESS_TEXTS[second]
            items.append(Item(audio.stem, text, audio, prompt, words, 0.0, "en", emotion))
    return _some(items, path, "Actor_01/03-01-*.wav files")


STYLE_JUDGES = f"{JUDGES},style"
BENCHMARKS = {
    "manifest": Benchmark('JSONL, {"text": ..., "audio": ..., "prompt": ...} a line', read_items),
    "seed-tts": Benchmark("Seed-TTS-Eval: a meta.lst or hardcase.lst", seed_tts),
    "librispeech-pc": Benchmark("LibriSpeech-PC: the cross-sentence list", librispeech_pc),
    "librispeech-continuation": Benchmark(
        "LibriSpeech: the folder test-clean", librispeech_continuation
    ),
    "esd": Benchmark("ESD: its folder, with speakers in it", esd, STYLE_JUDGES),
    "ravdess": Benchmark("RAVDESS: its folder, with actors in it", ravdess, STYLE_JUDGES),
}


def without_prompts(items: list[Item]) -> list[Item]:
    """The same items for a model that cannot clone: nothing is said before the text."""
    return [replace(item, prompt_text=None, opening=0.0) for item in items]


def _table(path: Path, separator: str, columns: tuple[int, ...]) -> list[tuple[int, list[str]]]:
    """Numbered lines in fields; `LlasaError` for a line with another number of them."""
    rows = []
    for number, line in read_lines(path):
        fields = [field.strip() for field in line.split(separator)]
        if len(fields) not in columns:
            wanted = " or ".join(map(str, columns))
            raise LlasaError(
                f"{path}, line {number}: {len(fields)} fields between {separator!r}, where "
                f"{wanted} are wanted; is this the list of another benchmark?"
            )
        rows.append((number, fields))
    return rows


def _libri(folder: Path, name: str) -> Path:
    speaker, chapter, *_ = f"{name}-".split("-")
    return folder / speaker / chapter / f"{name}.flac"


def _ravdess_order(path: Path) -> tuple[str, ...]:
    """Intensity, then actor, then emotion."""
    fields = path.stem.split("-")
    return fields[3], path.parent.name, fields[2]


def _some(items: list[Item], path: Path, layout: str) -> list[Item]:
    if not items:
        raise LlasaError(f"{path} holds nothing to judge: it must hold {layout}.")
    return items
