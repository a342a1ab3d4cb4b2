"""When words are heard: of single calls, long texts, streams, files, and other engines."""

from __future__ import annotations

import json
import pickle
from copy import copy, deepcopy
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import llasa
from llasa.audio.audio import Audio, read_audio
from llasa.models.folder import ModelConfig, ModelFiles, ReadingHeads
from llasa.tts.llasa import Llasa
from llasa.tts.longform import speak_to_file
from llasa.tts.speech import Speech
from llasa.tts.timing import Timings, Word
from tests.tiny_model import write_tiny_model

TEXT = "Hello there. The lazy dog, which is brown, paid $5 for it!\n\nThen [pause 1s] it slept."
WORD = (Word("Hi", 0.1, 0.3, (0, 2)),)
WORDS = "Hello there The lazy dog which is brown paid $5 for it Then it slept"


@pytest.fixture(scope="module")
def nano() -> Llasa:
    return llasa.load("nano", device="cpu")


def check(words: tuple[Word, ...], text: str, seconds: float) -> None:
    """They lie in the text and in the sound, one after the other."""
    assert words
    for word in words:
        assert text[slice(*word.span)] == word.text
        assert 0 <= word.start < word.end <= seconds
    for one, other in pairwise(words):
        assert one.span[1] <= other.span[0]
        assert one.start < other.start
        assert one.end <= other.start + 0.041


def close(some: tuple[Word, ...], others: tuple[Word, ...], within: float) -> None:
    assert [word.span for word in some] == [word.span for word in others]
    for one, other in zip(some, others, strict=True):
        assert (one.start, one.end) == pytest.approx((other.start, other.end), abs=within)


@pytest.mark.slow
def test_every_word_of_a_long_text(nano: Llasa) -> None:
    speech = nano(TEXT, seed=1)
    check(speech.words, TEXT, speech.seconds)
    assert " ".join(word.text for word in speech.words) == WORDS
    assert speech.timings.source == "attention"
    assert speech.phones == ()  # nano does not name them
    then, it = speech.words[-3:-1]
    assert it.start - then.end > 0.9  # the pause that was asked for
    sound = np.abs(speech.audio.samples)
    middle = int((then.end + it.start) / 2 * speech.rate)
    assert sound[middle - 1600 : middle + 1600].max() < 0.01 < sound.max()
    assert pickle.loads(pickle.dumps(speech)).words == speech.words


def test_copies_do_not_ask_the_model() -> None:
    def asked(audio: Audio) -> Timings:
        calls.append(audio)
        return Timings(WORD, source="attention")

    calls: list[Audio] = []
    codes, sound = np.zeros(1, np.int64), Audio(np.zeros(320, np.float32), 16_000)
    speech = Speech(sound, "Hi.", None, 1, codes, "stop", 0.1, 0.2, timer=asked)
    assert pickle.loads(pickle.dumps(speech)).words == deepcopy(speech).words == ()
    assert not calls
    assert copy(speech).words == speech.words == WORD
    assert pickle.loads(pickle.dumps(speech)).words == deepcopy(speech).words == WORD
    assert len(calls) == 2


def test_the_source_is_that_of_the_words() -> None:
    assert Timings().source == Timings.of([]).source == "estimate"
    read, guessed = Timings(WORD, source="attention"), Timings(WORD, source="estimate")
    assert Timings.of([Timings(), read]).source == "attention"
    assert Timings.of([read, guessed]).source == "estimate"


@pytest.mark.slow
def test_a_stream_tells_the_words_of_each_part(nano: Llasa) -> None:
    for speed in (1.0, 1.7):
        speech = nano(TEXT, seed=1, speed=speed)
        chunks = list(nano.stream(TEXT, seed=1, speed=speed))
        close(tuple(word for chunk in chunks for word in chunk.words), speech.words, 0.03)
        parts = [chunk for chunk in chunks if chunk.timings is not None]
        assert len(parts) > 2
        for chunk in parts:
            assert all(chunk.span[0] <= word.span[0] < chunk.span[1] for word in chunk.words)


@pytest.mark.slow
def test_text_that_arrives(nano: Llasa) -> None:
    chunks = list(nano.stream(iter(["Hello th", "ere. It is", " late"]), seed=1))
    words = tuple(word for chunk in chunks for word in chunk.words)
    check(words, "Hello there. It is late", sum(chunk.seconds for chunk in chunks))
    assert " ".join(word.text for word in words) == "Hello there It is late"


@pytest.mark.slow
def test_speed_and_pauses_move_words(nano: Llasa) -> None:
    usual, slow = (nano(TEXT, seed=1, speed=speed) for speed in (1.0, 0.5))
    check(slow.words, TEXT, slow.seconds)
    double = tuple(replace(w, start=2 * w.start, end=2 * w.end) for w in usual.words)
    close(slow.words, double, 0.08)
    pause = nano("Hello there. It is late.", seed=1, pause=3)
    assert pause.words[2].start - pause.words[1].end > 2.9


@pytest.mark.slow
def test_the_best_of_several(nano: Llasa) -> None:
    search = partial(llasa.best_of_n, n=3, verify=["length"])
    speech = nano("Hello there.", seed=1, search=search)
    check(speech.words, "Hello there.", speech.seconds)
    again = nano("Hello there.", seed=speech.search[0].best.seed)
    close(speech.words, again.words, 0.021)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.7, 2.5])
def test_words_that_were_cut_off_are_left_out(nano: Llasa, seconds: float) -> None:
    whole = nano(TEXT, seed=1)
    for speech in (nano(TEXT, seed=1, max_seconds=seconds), streamed(nano, seconds)):
        check(speech.words, TEXT, seconds)
        said = [word for word in whole.words if word.end < seconds - 0.1]
        begun = [word for word in whole.words if word.start < seconds + 0.1]
        assert len(said) <= len(speech.words) <= len(begun)
        close(speech.words[: len(said)], tuple(said), 0.1)


def streamed(tts: Llasa, seconds: float) -> Timings:
    chunks = tts.stream(TEXT, seed=1, max_seconds=seconds)
    return Timings.of([chunk.timings for chunk in chunks if chunk.timings is not None])


@pytest.mark.slow
def test_a_file_that_is_resumed_has_all_words(nano: Llasa, tmp_path: Path) -> None:
    whole = nano(TEXT, seed=1)

    def stop(done: int, total: int) -> None:
        if done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        speak_to_file(nano, TEXT, tmp_path / "a.wav", seed=1, progress=stop)
    found = speak_to_file(nano, TEXT, tmp_path / "a.wav", seed=1, timed=True)
    assert found.resumed
    assert found.timings == whole.timings
    assert not speak_to_file(nano, TEXT, tmp_path / "b.wav", seed=1).timings.words


def without_heads(tts: Llasa) -> Llasa:
    files = ModelFiles(replace(tts.settings, alignment=None), tts.files.lm, tts.files.codec)
    return Llasa(files, tts.vocabulary, tts.engine, tts.codec, voices=None)


@pytest.mark.slow
def test_without_heads_times_are_said_to_be_estimates(nano: Llasa) -> None:
    exact = nano(TEXT, seed=1, voice="random")
    speech = without_heads(nano)(TEXT, seed=1, voice="random")
    assert (speech.timings.source, exact.timings.source) == ("estimate", "attention")
    assert speech.timings.to_dict()["source"] == "estimate"
    check(speech.words, TEXT, speech.seconds)
    close(speech.words, exact.words, 0.6)


@pytest.mark.slow
def test_onnx_reads_the_same(nano: Llasa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx", reason="needs the package onnx")
    pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    monkeypatch.setenv("LLASA_EXPORTS", str(tmp_path))
    onnx = llasa.load("nano", engine="onnx")
    ours, theirs = (tts("Hello there, my friend.", temperature=0) for tts in (nano, onnx))
    assert theirs.timings.source == "attention"
    close(theirs.words, ours.words, 0.021)


def test_a_model_that_names_its_phones(tmp_path: Path) -> None:
    settings = ModelConfig("tiny", cloning=False, alignment=ReadingHeads(1, (0, 1)))
    tts = Llasa.load(write_tiny_model(tmp_path, settings, phones=(" ", "a", "b")), device="cpu")
    text = "The lazy dog jumps over the fox."
    speech = tts(text, seed=3, max_seconds=3)
    assert speech.phones
    assert {phone.symbol for phone in speech.phones} <= {"a", "b"}
    for one, other in pairwise(speech.phones):
        assert 0 <= one.start <= one.end <= other.start <= speech.seconds
    assert speech.timings.to_dict()["phones"][0].keys() == {"phone", "start", "end"}
    first = speech.phones[0]
    chunks = list(tts.stream(text, seed=3, max_seconds=3))
    assert chunks[-1].timings is not None
    assert chunks[-1].timings.phones[0] == first
    path = tmp_path / "a.wav"
    found = speak_to_file(tts, text, path, seed=3, max_seconds=3, timed=True)
    assert found.timings.phones == speech.phones
    json.dumps(found.timings.to_dict())


def test_a_clone_is_timed_after_its_prompt(tmp_path: Path) -> None:
    settings = ModelConfig("tiny", default_voice="ann", alignment=ReadingHeads(1, (0,)))
    tts = Llasa.load(write_tiny_model(tmp_path, settings), device="cpu")
    text = "The quick brown fox jumps over the lazy dog. " * 4
    for voice in ("ann", "random"):  # the first part is the prompt of the others
        speech = tts(text, seed=3, voice=voice, max_seconds=8)
        assert speech.timings.source == "attention"
        assert speech.words[0].span == (0, 3)
        assert all(text[slice(*word.span)] == word.text for word in speech.words)
        assert all(0 <= word.start <= word.end <= speech.seconds for word in speech.words)


@pytest.mark.slow
@pytest.mark.oracle
def test_words_are_where_hibari_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The goal is a mean error of 60 ms; the benchmark measures it on more sentences."""
    pytest.importorskip("hibari", reason="needs the package hibari-tts")
    pytest.importorskip("onnx", reason="needs the package onnx")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    timings = import_module("timings")
    tts = llasa.load("nano", device="cpu")
    found = list(timings.timed(tts, timings.HARVARD[:4], None, False))
    assert len(found) == 4
    errors = [timings.errors_of(truth, times["attention"]) for truth, times, _, _ in found]
    every = np.abs([error for kinds in errors for error in kinds["all"]])
    inner = np.abs([e for kinds in errors for e in kinds["other starts"] + kinds["other ends"]])
    assert every.mean() < 60
    assert inner.mean() < 30


def test_codes_of_a_recording_are_heard(tmp_path: Path) -> None:
    """What is written with times is what they are of."""
    tts = Llasa.load(write_tiny_model(tmp_path), device="cpu")
    found = speak_to_file(tts, "The lazy dog.", tmp_path / "a.wav", seed=1, timed=True)
    assert found.timings.source == "estimate"
    assert found.timings.words[-1].end <= read_audio(tmp_path / "a.wav").duration
