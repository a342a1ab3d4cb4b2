"""Named test sets, rebuilt small from real recordings in their authors' layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from llasa.audio.audio import read_audio
from llasa.base.errors import LlasaError
from llasa.data.manifest import Utterance, read_manifest
from llasa.evaluation.datasets import BENCHMARKS, Benchmark, without_prompts
from llasa.evaluation.items import Item, choose

from .tools import write_clip


@pytest.fixture(scope="module")
def clips(speech_data: Path) -> list[Utterance]:
    return [c for c in read_manifest(speech_data / "librispeech.jsonl") if (c.seconds or 0) < 12]


def put(clip: Utterance, path: Path) -> Path:
    """A recording in the format that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    read_audio(clip.path).write(path)
    return path


def load(name: str, *arguments: Path) -> list[Item]:
    benchmark: Benchmark = BENCHMARKS[name]
    return benchmark.load(arguments[0], arguments[1] if len(arguments) > 1 else None)


def test_seed_tts(tmp_path: Path, clips: list[Utterance]) -> None:
    folder = tmp_path / "seedtts_testset" / "en"
    old, new = clips[:2]
    put(old, folder / "prompt-wavs" / "p-1.wav")
    audio = put(new, folder / "wavs" / "p-1-u-2.wav")
    line = f"p-1-u-2|{old.text}|prompt-wavs/p-1.wav|{new.text}"
    (folder / "meta.lst").write_text(f"{line}\nother|{old.text}|prompt-wavs/p-1.wav|Text\n")
    (item, alone), language = choose(load("seed-tts", folder / "meta.lst"), None, None, "text")
    assert language == "en"
    assert (item.id, item.text, item.prompt_text) == ("p-1-u-2", new.text, old.text)
    assert (item.audio, item.prompt) == (audio, folder / "prompt-wavs" / "p-1.wav")
    assert alone.audio is None
    (folder / "five.lst").write_text(f"{line}|wavs/p-1-u-2.wav\n")
    assert load("seed-tts", folder / "five.lst") == [item]


def test_seed_tts_hard_is_chinese(tmp_path: Path) -> None:
    folder = tmp_path / "zh"
    write_clip(folder / "prompt-wavs" / "p.wav")
    text = "八百标兵奔北坡"
    (folder / "hardcase.lst").write_text(f"h-1|你好|prompt-wavs/p.wav|{text}\n", encoding="utf-8")
    (item,), language = choose(load("seed-tts", folder / "hardcase.lst"), None, None, "text")
    assert (item.text, language) == (text, "zh")


def test_librispeech_pc(tmp_path: Path, clips: list[Utterance]) -> None:
    old, new = clips[:2]
    names = [clip.path.stem for clip in (old, new)]
    folder = tmp_path / "test-clean"
    for clip, name in zip((old, new), names, strict=True):
        speaker, chapter, _ = name.split("-")
        put(clip, folder / speaker / chapter / f"{name}.flac")
    path = tmp_path / "cross.lst"
    path.write_text(f"{names[0]}\t4.0\t{old.text}\t{names[1]}\t5.0\t{new.text}\n")
    (item,), _ = choose(load("librispeech-pc", path), None, None, "text")
    assert (item.id, item.text, item.prompt_text) == (names[1], new.text, old.text)
    assert item.prompt is not None
    assert item.prompt.stem == names[0]
    assert load("librispeech-pc", path, folder) == [item]


def test_librispeech_continuation(tmp_path: Path, clips: list[Utterance]) -> None:
    lines: dict[Path, list[str]] = {}
    for clip in clips[:12]:
        speaker, chapter, _ = clip.path.stem.split("-")
        folder = tmp_path / speaker / chapter
        put(clip, folder / f"{clip.path.stem}.flac")
        line = f"{clip.path.stem} {(clip.text or '').upper()}"
        lines.setdefault(folder / f"{speaker}-{chapter}.trans.txt", []).append(line)
    for path, words in lines.items():
        path.write_text("\n".join(words) + "\n")
    items = load("librispeech-continuation", tmp_path)
    wanted = [clip for clip in clips[:12] if 4 <= (clip.seconds or 0) <= 10]
    assert sorted(item.id for item in items) == sorted(clip.path.stem for clip in wanted)
    item = next(item for item in items if item.id == wanted[0].path.stem)
    assert item.text == (wanted[0].text or "").capitalize() + "."
    assert item.opening == 3.0
    assert without_prompts(items)[0].opening == 0.0


@pytest.mark.parametrize("split", [False, True])
def test_esd(tmp_path: Path, split: bool) -> None:
    """52 recordings an emotion: the 21st to 50th are the test part, unless a folder says so."""
    for speaker in ("0001", "0011"):
        lines = []
        for number, emotion in enumerate(("Angry", "Sad")):
            for index in range(1, 53 if not split else 4):
                name = f"{speaker}_{number * 350 + index:06d}"
                folder = tmp_path / speaker / emotion / ("test" if split else "")
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{name}.wav").write_bytes(b"")
                lines.append(f"{name}\t{emotion} 文 {index}\t{emotion}")
        encoding = "gb18030" if speaker == "0001" else "utf-16"
        (tmp_path / speaker / f"{speaker}.txt").write_text("\n".join(lines), encoding=encoding)
    items = load("esd", tmp_path)
    count = 3 if split else 30
    assert len(items) == 4 * count
    first = items[0]
    start = 1 if split else 21
    assert (first.language, first.kind) == ("zh", "Angry")
    assert (first.prompt_text, first.text) == (f"Angry 文 {start}", f"Angry 文 {start + 1}")
    assert [(i.language, i.kind) for i in items[:4]] == [
        ("zh", "Angry"), ("zh", "Sad"), ("en", "Angry"), ("en", "Sad"),
    ]  # fmt: skip
    assert items[-1].text == f"Sad 文 {start}"  # the last prompts the first
    assert len({item.id for item in items}) == len(items)


def test_ravdess(tmp_path: Path) -> None:
    for actor in ("01", "02"):
        for emotion, intensity in (("01", "01"), ("05", "01"), ("05", "02")):
            for statement in ("01", "02"):
                for repetition in ("01", "02"):
                    code = "-".join(["03-01", emotion, intensity, statement, repetition, actor])
                    write_clip(tmp_path / f"Actor_{actor}" / f"{code}.wav", 0.1)
    write_clip(tmp_path / "Actor_01" / "03-02-05-01-01-01-01.wav", 0.1)  # sung
    items, language = choose(load("ravdess", tmp_path), None, None, "text")
    assert (len(items), language) == (6, "en")
    assert [item.kind for item in items] == ["neutral", "angry"] * 2 + ["angry"] * 2
    assert items[0].prompt_text == "Kids are talking by the door."
    assert items[0].text == "Dogs are sitting by the door."
    assert items[1].id == "03-01-05-01-02-01-01"
    assert items[1].prompt == tmp_path / "Actor_01" / "03-01-05-01-01-01-01.wav"


def test_emotion_is_judged_by_style() -> None:
    assert "style" in BENCHMARKS["esd"].judges
    assert "style" in BENCHMARKS["ravdess"].judges


def test_lists_of_another_benchmark_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "meta.lst"
    path.write_text("a|b|c|d\na|b\n")
    with pytest.raises(LlasaError, match="line 2: 2 fields .* 4 or 5 are wanted"):
        load("seed-tts", path)
    with pytest.raises(LlasaError, match="line 1: 1 fields"):
        load("librispeech-pc", path)
    path.write_text("a|b|c|\n")
    with pytest.raises(LlasaError, match="no id or no text"):
        load("seed-tts", path)


@pytest.mark.parametrize("name", ["librispeech-continuation", "esd", "ravdess"])
def test_folders_without_recordings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LlasaError, match="holds nothing to judge: it must hold"):
        load(name, tmp_path)
