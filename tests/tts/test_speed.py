"""Speed and pauses: in calls, streams, parts and long texts, of what is heard alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llasa.audio.audio import read_audio
from llasa.audio.stretch import stretched
from llasa.base.errors import LlasaError
from llasa.tts.arguments import RequestOptions
from llasa.tts.llasa import Llasa
from llasa.tts.longform import speak_to_file

pytestmark = pytest.mark.usefixtures("own_voices")

TEXT = "The lazy dog speaks."
LONG = " ".join(f"This is sentence number {n}, and the fox jumps over the dog." for n in range(4))
PAUSED = "A fox runs. [pause 2s] Two dogs sleep."


@pytest.fixture(scope="module")
def tts(tiny: Path) -> Llasa:
    return Llasa.load(tiny, device="cpu")


def test_one_part_is_the_same_speech_stretched(tts: Llasa) -> None:
    plain, fast = tts(TEXT, seed=1), tts(TEXT, seed=1, speed=1.5)
    np.testing.assert_array_equal(fast.codes, plain.codes)
    np.testing.assert_array_equal(fast.audio.samples, stretched(plain.audio, 1.5).samples)


@pytest.mark.parametrize("speed", [0.5, 2])
def test_calls_streams_and_files_agree(tts: Llasa, tmp_path: Path, speed: float) -> None:
    whole = tts(LONG, seed=2, speed=speed)
    assert whole.seconds == pytest.approx(tts(LONG, seed=2).seconds / speed, rel=0.01)
    chunks = list(tts.stream(LONG, seed=2, speed=speed))
    assert len(chunks) > 1
    assert sum(len(chunk.samples) for chunk in chunks) == len(whole.audio.samples)
    long = speak_to_file(tts, LONG, tmp_path / "a.wav", seed=2, speed=speed)
    assert long.seconds == whole.seconds
    heard = read_audio(tmp_path / "a.wav").samples
    np.testing.assert_allclose(heard, whole.audio.samples, atol=1e-4)


def test_the_limit_is_that_of_what_is_heard(tts: Llasa) -> None:
    for speed in (0.5, 2.0):
        speech = tts(LONG, seed=2, speed=speed, max_seconds=1)
        assert speech.seconds == pytest.approx(1, abs=0.001)
        assert speech.finish_reason == "length"


def silences(tts: Llasa, text: str, **options: float) -> list[float]:
    """Seconds of silence after each part as it is heard."""
    ends = []
    request = tts.request(text, seed=1, **options)  # type: ignore[arg-type]
    for _, part in tts.parts([request]):
        loud = np.flatnonzero(part.samples)
        end = loud[-1] + 1 if len(loud) else 0
        ends.append((len(part.samples) - end) / tts.rate)
    return ends


def test_pauses_between_sentences(tts: Llasa) -> None:
    assert silences(tts, LONG, pause=0.7)[:-1] == pytest.approx([0.7] * 3, abs=0.02)
    assert silences(tts, LONG, pause=0)[:-1] == pytest.approx([0] * 3, abs=0.02)
    for speed in (0.5, 2.0):  # they are as long as was asked for
        found = silences(tts, LONG, pause=0.7, speed=speed)[:-1]
        assert found == pytest.approx([0.7] * 3, abs=0.05)


def test_pauses_that_the_text_asks_for_stay(tts: Llasa) -> None:
    with_both = tts(PAUSED, seed=1, pause=0.5).seconds
    assert with_both == pytest.approx(tts(PAUSED, seed=1).seconds, abs=0.001)


def test_parts_that_are_cut_inside_a_sentence_keep_their_pause(tts: Llasa) -> None:
    text = "word " * 60 + "end."
    request = tts.request(text, pause=3)
    assert len(request.passages) > 1
    assert max(passage.pause for passage in request.passages[:-1]) < 1


@pytest.mark.parametrize("speed", [0, 0.1, 5, "fast", float("nan"), True])
def test_bad_speeds(tts: Llasa, speed: float) -> None:
    with pytest.raises(LlasaError, match=r"speed is .*; give a number from 0.25 to 4\."):
        tts(TEXT, speed=speed)


@pytest.mark.parametrize("pause", [-1, 100, "long"])
def test_bad_pauses(tts: Llasa, pause: float) -> None:
    with pytest.raises(LlasaError, match=r"pause is .*; give a number from 0 to 10\."):
        tts(TEXT, pause=pause)


def test_options_have_names(tts: Llasa) -> None:
    with pytest.raises(LlasaError, match=r"'sped' is unknown.*Did you mean speed\?"):
        tts(TEXT, sped=2)  # type: ignore[call-overload]
    with pytest.raises(LlasaError, match="'best_of' is unknown"):
        tts.request(TEXT, best_of=2)  # type: ignore[call-arg]
    from llasa.lm.sampling import SamplingParams

    own = {"seed", "max_tokens", "loop_window"}
    assert SamplingParams.__dataclass_fields__.keys() - own <= RequestOptions.__annotations__.keys()
