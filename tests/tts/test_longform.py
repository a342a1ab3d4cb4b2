"""Long texts into files: the same sound as a call, resume, and what is left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest

from llasa.audio.audio import read_audio
from llasa.base.errors import LlasaError
from llasa.tts.llasa import Llasa
from llasa.tts.loaded import BATCH
from llasa.tts.longform import LongSpeech, speak_to_file
from llasa.tts.parts import Part
from tests.tiny_model import write_tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_voices")]

TEXT = " ".join(f"This is sentence number {n}, and the fox jumps over the dog." for n in range(20))


@pytest.fixture(scope="module")
def tts(tiny: Path) -> Llasa:
    return Llasa.load(tiny, device="cpu")


def stop_after(parts: int) -> Any:
    """A progress function that interrupts as Ctrl-C does."""
    calls = []

    def progress(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == parts:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("voice", ["ann", "random"])
def test_it_sounds_as_a_call_does(tts: Llasa, tmp_path: Path, voice: str) -> None:
    seen: list[tuple[int, int]] = []
    path = tmp_path / "book.flac"
    result = speak_to_file(
        tts, TEXT, path, voice=voice, seed=4, progress=lambda *now: seen.append(now)
    )
    speech = tts(TEXT, voice=voice, seed=4)
    expected = speech.audio.samples
    np.testing.assert_allclose(read_audio(path).samples, expected, atol=2e-4)
    assert (result.parts, result.resumed, result.seed) == (20, 0, 4)
    assert (result.seconds, result.tokens) == (speech.seconds, speech.tokens)
    assert result.finish_reason == speech.finish_reason == "stop"
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]
    assert [file.name for file in tmp_path.iterdir()] == ["book.flac"]


@pytest.mark.parametrize("seconds", [0.5, 4.0])
def test_max_seconds_is_the_length_of_the_file(tts: Llasa, tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "book.flac"
    settings: dict[str, Any] = {"voice": "ann", "seed": 4, "max_seconds": seconds}
    seen: list[int] = []
    result = speak_to_file(tts, TEXT, path, progress=lambda done, _: seen.append(done), **settings)
    assert (result.seconds, result.finish_reason) == (seconds, "length")
    assert len(seen) < result.parts
    expected = tts(TEXT, **settings).audio.samples
    np.testing.assert_allclose(read_audio(path).samples, expected, atol=2e-4)
    assert [file.name for file in tmp_path.iterdir()] == ["book.flac"]


@pytest.mark.parametrize(
    ("rate", "name"), [(20_000, "book.mp3"), (32_000, "book.opus"), (44_100, "book.opus")]
)
def test_rates_that_a_format_cannot_hold(
    tts: Llasa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int, name: str
) -> None:
    monkeypatch.setattr(tts.codec, "sample_rate", rate)
    settings: dict[str, Any] = {"voice": "ann", "seed": 4, "max_seconds": 4}
    result = speak_to_file(tts, TEXT, tmp_path / name, **settings)
    sound, whole = read_audio(tmp_path / name), tts(TEXT, **settings)
    assert sound.rate != rate
    assert result.seconds == whole.seconds == 4.0
    assert sound.duration == pytest.approx(4.0, abs=0.1)
    whole.save(tmp_path / f"whole{Path(name).suffix}")
    expected = read_audio(tmp_path / f"whole{Path(name).suffix}")
    assert expected.rate == sound.rate
    np.testing.assert_allclose(sound.samples, expected.samples, atol=0.05)


@pytest.mark.parametrize(("parts", "name"), [(1, "book.mp3"), (3, "book.wav")])
def test_resume_gives_the_same_file(tts: Llasa, tmp_path: Path, parts: int, name: str) -> None:
    whole, path = tmp_path / f"whole-{name}", tmp_path / name
    speak_to_file(tts, TEXT, whole, voice="random", seed=4)
    with pytest.raises(KeyboardInterrupt):
        speak_to_file(tts, TEXT, path, voice="random", seed=4, progress=stop_after(parts))
    assert {file.name for file in tmp_path.iterdir()} == {whole.name, f"{name}.resume"}
    result = speak_to_file(tts, TEXT, path, voice="random")
    assert 0 < result.resumed < result.parts
    assert result.seed == 4, "a drawn seed is that of the first run"
    assert path.read_bytes() == whole.read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {whole.name, name}


def test_what_is_made_of_the_speech_may_fail(tts: Llasa, tmp_path: Path) -> None:
    """Subtitles on a full disk, say: the speech is there, and is not spoken again for them."""
    path, times = tmp_path / "a.wav", list[LongSpeech]()

    def fail(speech: LongSpeech) -> None:
        raise LlasaError("a.srt cannot be written: No space left on device.")

    with pytest.raises(LlasaError, match="No space left"):
        speak_to_file(tts, TEXT, path, seed=4, timed=True, finish=fail)
    whole = path.read_bytes()
    result = speak_to_file(tts, TEXT, path, seed=4, timed=True, finish=times.append)
    assert result.resumed == result.parts
    assert path.read_bytes() == whole
    assert times == [result]
    assert result.timings.words
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]


def test_a_line_cut_off_by_a_crash(tts: Llasa, tmp_path: Path) -> None:
    path, kept = tmp_path / "a.wav", tmp_path / "a.wav.resume"
    speak_to_file(tts, TEXT, tmp_path / "whole.wav", seed=4)
    with pytest.raises(KeyboardInterrupt):
        speak_to_file(tts, TEXT, path, seed=4, progress=stop_after(5))
    kept.write_bytes(kept.read_bytes()[:-7])
    assert speak_to_file(tts, TEXT, path, seed=4).resumed == BATCH
    assert path.read_bytes() == (tmp_path / "whole.wav").read_bytes()


@pytest.mark.parametrize("change", ["text", "voice", "seed", "setting", "damage"])
def test_what_does_not_belong_is_not_resumed(tts: Llasa, tmp_path: Path, change: str) -> None:
    path = tmp_path / "a.wav"
    asked: dict[str, Any] = {"text": TEXT, "voice": "ann", "seed": 4, "temperature": 1.0}
    with pytest.raises(KeyboardInterrupt):
        speak_to_file(tts, path=path, progress=stop_after(3), **asked)
    if change == "damage":
        (tmp_path / "a.wav.resume").write_text("no journal")
    other = {"text": "A fox. " + TEXT, "voice": "random", "seed": 5, "setting": 0.5}
    key = "temperature" if change == "setting" else change
    asked |= {key: other[change]} if change in other else {}
    assert speak_to_file(tts, path=path, **asked).resumed == 0
    assert not (tmp_path / "a.wav.resume").exists()


def test_a_silent_part_is_a_pause_and_a_warning(tmp_path: Path) -> None:
    model = Llasa.load(write_tiny_model(tmp_path, ends=float(np.log(64 * 6))), device="cpu")
    words = " ".join(f"Sentence {n} of a long text about a dog and a lazy fox." for n in range(20))
    for seed in range(20):
        try:
            result = speak_to_file(model, words, tmp_path / "a.wav", voice="random", seed=seed)
        except LlasaError:
            continue  # the first part says nothing: there is no voice to go on with
        if result.warnings:
            assert "said nothing for 'Sentence" in result.warnings[0]
            assert read_audio(tmp_path / "a.wav").duration == pytest.approx(result.seconds)
            return
    pytest.fail("every part was spoken")


def test_an_error_leaves_no_sound(mute: Path, tmp_path: Path) -> None:
    model = Llasa.load(mute, device="cpu")
    with pytest.raises(LlasaError, match="said nothing"):
        speak_to_file(model, TEXT, tmp_path / "a.wav", seed=1)
    assert not (tmp_path / "a.wav").exists()


def test_no_limit_and_nothing_kept_in_memory(tts: Llasa, tmp_path: Path) -> None:
    """Parts that are written are forgotten, and text beyond the limit of a call is taken."""
    alive: WeakSet[Part] = WeakSet()
    most: list[int] = []

    class Watched(Llasa):
        def parts(self, *args: Any, **settings: Any) -> Generator[tuple[int, Part]]:
            for place, part in super().parts(*args, **settings):
                alive.add(part)
                most.append(len(alive))
                yield place, part

    watched = Watched(tts.files, tts.vocabulary, tts.engine, tts.codec)
    with pytest.raises(KeyboardInterrupt):
        speak_to_file(watched, TEXT * 20, tmp_path / "a.wav", seed=1, progress=stop_after(35))
    assert len(TEXT * 20) > 20_000
    assert max(most) <= 2
    lines = (tmp_path / "a.wav.resume").read_text().splitlines()
    assert len(lines) == 1 + 1 + 3 * BATCH
    assert set(json.loads(lines[1])) == {"part", "codes", "cut", "warnings"}


@pytest.mark.parametrize(
    ("path", "settings", "reason"),
    [
        ("a.wave", {}, "unknown: valid are"),
        ("none/a.wav", {}, "cannot be written"),
        ("a.wav", {"heat": 1}, "'heat' is unknown"),
        ("a.wav", {"text": ""}, "The text is empty"),
    ],
)
def test_bad_input(
    tts: Llasa, tmp_path: Path, path: str, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(LlasaError, match=reason):
        speak_to_file(tts, **{"text": TEXT, "path": tmp_path / path, **settings})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", ["int8", "weights", "moved", "voice"])
def test_a_resumed_book_mixes_no_models(tmp_path: Path, change: str) -> None:
    folder = write_tiny_model(tmp_path / "model")
    path = tmp_path / "out" / "a.wav"
    path.parent.mkdir()
    first = Llasa.load(folder, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        speak_to_file(first, TEXT, path, voice="ann", seed=4, progress=stop_after(3))
    if change == "weights":
        other = write_tiny_model(tmp_path / "other", seed=1)
        shutil.copy(other / "lm" / "model.safetensors", folder / "lm" / "model.safetensors")
    if change == "moved":
        folder = folder.rename(tmp_path / "elsewhere")
    second = Llasa.load(folder, device="cpu", int8=change == "int8")
    voice = second.voice("ann")
    assert voice is not None
    if change == "voice":  # recorded anew, under the same name
        voice = replace(voice, codes=voice.codes[::-1].copy())
    result = speak_to_file(second, TEXT, path, voice=voice, seed=4)
    assert (result.resumed > 0) == (change == "moved")


def lines_of(kept: Path) -> list[bytes]:
    return kept.read_bytes().splitlines(True)


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (lambda lines: [*lines[:3], *lines[4:]], 2),  # a part is gone
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 2),  # a part is doubled
        (lambda lines: [*lines[:3], b'{"part": 2, "codes": [[1]], "cut": false}\n'], 2),
        (lambda lines: [*lines[:3], b'{"part": 2, "codes": [64], "cut": false}\n'], 2),
        (lambda lines: [*lines[:3], b'{"part": 2, "codes": [-1], "cut": false}\n'], 2),
        (lambda lines: [*lines[:3], b'{"part": 2, "codes": [1]}\n'], 2),
        (lambda lines: [*lines[:3], b"[" * 100_000 + b"\n"], 2),
        (lambda lines: [*lines[:3], b"3\n", b"\xff\n"], 2),
        (lambda lines: [lines[0].replace(b'"seed": 4', b'"seed": "x"'), *lines[1:]], 0),
        (lambda lines: [b"[]\n", *lines[1:]], 0),
    ],
)
def test_a_damaged_journal_goes_on_from_where_it_is_sound(
    tts: Llasa, tmp_path: Path, damage: Any, left: int
) -> None:
    path, kept = tmp_path / "a.wav", tmp_path / "a.wav.resume"
    with pytest.raises(KeyboardInterrupt):
        speak_to_file(tts, TEXT, path, seed=4, progress=stop_after(5))
    kept.write_bytes(b"".join(damage(lines_of(kept))))
    with pytest.raises(KeyboardInterrupt):
        speak_to_file(tts, TEXT, path, seed=4, progress=stop_after(1))
    numbers = [json.loads(line)["part"] for line in lines_of(kept)[1:]]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= left
    speak_to_file(tts, TEXT, path, seed=4)
    speak_to_file(tts, TEXT, tmp_path / "whole.wav", seed=4)
    assert path.read_bytes() == (tmp_path / "whole.wav").read_bytes()


def test_two_books_on_one_output(tts: Llasa, tmp_path: Path) -> None:
    def again(done: int, total: int) -> None:
        with pytest.raises(LlasaError, match="Another process is writing"):
            speak_to_file(tts, TEXT, tmp_path / "a.wav", seed=4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        speak_to_file(tts, TEXT, tmp_path / "a.wav", seed=4, progress=again)


def test_the_longest_name(tts: Llasa, tmp_path: Path) -> None:
    path = tmp_path / f"{'é' * 125}.flac"
    with pytest.raises(KeyboardInterrupt):
        speak_to_file(tts, TEXT, path, seed=4, progress=stop_after(2))
    assert speak_to_file(tts, TEXT, path, seed=4).resumed > 0
    assert list(tmp_path.iterdir()) == [path]
