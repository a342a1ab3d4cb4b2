"""Streams of speech against speech made at once."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llasa
from llasa.audio.audio import to_int16
from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.codec.streaming import StreamSettings
from llasa.models.folder import ModelConfig
from llasa.search.strategies import best_of_n
from llasa.text import pause_after
from llasa.text.structure import PARAGRAPH
from llasa.tts.chunks import AudioChunk
from llasa.tts.llasa import Llasa
from llasa.tts.play_live import speak_live
from tests.tiny_model import CODEC, tiny_codec, write_tiny_model

pytestmark = pytest.mark.usefixtures("own_voices")

WINDOWED = replace(CODEC, decoder_window=4, time_rotary=True)
LONG = "  ".join(f"This is sentence number {n}, and the fox jumps over the dog." for n in range(4))


@pytest.fixture(scope="module")
def tts(tiny: Path) -> Llasa:
    """The tiny model with a decoder of bounded reach, which streams exactly."""
    model = Llasa.load(tiny, device="cpu")
    codec = tiny_codec(config=WINDOWED)
    assert isinstance(model.codec, Codec)
    model.codec.model.decoder = codec.model.decoder  # the voice's codes stay valid
    return model


def running(tts: Llasa) -> int:
    """Sequences that hold memory of the engine."""
    return len(tts.engine.running)  # type: ignore[attr-defined]


def joined(chunks: list[AudioChunk]) -> Any:
    return np.concatenate([chunk.samples for chunk in chunks])


def test_a_listener_hears_what_the_speech_is(tts: Llasa) -> None:
    heard: list[Any] = []
    speech = speak_live(tts, LONG, heard.append, voice="ann", seed=3)
    same = tts(LONG, voice="ann", seed=3)
    np.testing.assert_array_equal(np.concatenate(heard), speech.audio.samples)
    np.testing.assert_array_equal(speech.codes, same.codes)
    np.testing.assert_allclose(speech.audio.samples, same.audio.samples, atol=1e-5)
    assert len(heard) > len(tts.request(LONG, voice="ann").passages)  # in pieces
    assert 0 < speech.first_audio < speech.total
    assert [word.text for word in speech.words] == [word.text for word in same.words]


def test_what_a_listener_takes_is_not_counted(tts: Llasa, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def now() -> float:
        clock[0] += 1.0
        return clock[0]

    def listen(samples: Any) -> None:
        clock[0] += 1e6

    monkeypatch.setattr("time.perf_counter", now)
    speech = speak_live(tts, "A fox.", listen, voice="ann", seed=3)
    assert 0 < speech.first_audio < speech.total < 1e6  # of one part, that comes in pieces


@pytest.mark.skipif(sys.platform == "win32", reason="the player is a shell script")
def test_play(tts: Llasa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(LlasaError, match="nothing to play sound with"):
        llasa.play(tts, "A fox.", max_seconds=0.2)
    (tmp_path / "aplay").write_text(f"#!/bin/sh\nexec /bin/cat > {tmp_path}/heard\n")
    (tmp_path / "aplay").chmod(0o755)
    speech = llasa.play(tts, "A fox.", seed=1)
    assert (tmp_path / "heard").read_bytes() == to_int16(speech.audio.samples).tobytes()
    (tmp_path / "aplay").write_text("#!/bin/sh\n/bin/cat > /dev/null; exit 1\n")
    speech = llasa.play(tts, LONG, seed=1)
    assert "Playing stopped after about" in speech.warnings[-1]


@pytest.mark.parametrize("voice", ["ann", "random"])
@pytest.mark.parametrize("text", ["A fox.", LONG])
def test_a_stream_is_the_speech_in_pieces(tts: Llasa, voice: str, text: str) -> None:
    speech = tts(text, voice=voice, seed=3)
    chunks = list(tts.stream(text, voice=voice, seed=3))
    np.testing.assert_array_equal(np.concatenate([c.codes for c in chunks]), speech.codes)
    np.testing.assert_allclose(joined(chunks), speech.audio.samples, atol=1e-5)
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert {chunk.rate for chunk in chunks} == {tts.rate}
    assert sum(chunk.tokens for chunk in chunks) == speech.tokens
    assert len(chunks) > 1
    assert running(tts) == 0


def test_a_search_is_streamed_part_by_part(tts: Llasa) -> None:
    search = partial(best_of_n, n=2, verify="length")
    settings: dict[str, Any] = {"voice": "random", "seed": 3, "search": search, "normalize": False}
    speech = tts(LONG, **settings)
    chunks = list(tts.stream(LONG, **settings))
    assert [" ".join(chunk.text.split()) for chunk in chunks] == [p.text for p in speech.search]
    np.testing.assert_array_equal(joined(chunks), speech.audio.samples)
    assert running(tts) == 0


def test_others_may_speak_while_text_is_awaited(tts: Llasa) -> None:
    waits, fragments = threading.Event(), queue.Queue[str | None]()

    def arriving() -> Iterator[str]:
        yield "A fox speaks. And"
        waits.set()
        yield from iter(partial(fragments.get, timeout=300), None)

    with ThreadPoolExecutor(2) as threads:
        stream = threads.submit(lambda: list(tts.stream(arriving(), seed=3, max_seconds=4)))
        assert waits.wait(timeout=300)
        call = threads.submit(tts, "A dog.", seed=1, max_seconds=1)
        try:
            assert call.result(timeout=30).seed == 1
        finally:
            fragments.put(" a dog listens.")
            fragments.put(None)
        assert stream.result(timeout=300)[-1].is_last


def test_spans_and_texts(tts: Llasa) -> None:
    chunks = list(tts.stream(LONG, seed=3))
    parts = list(dict.fromkeys((chunk.text, chunk.span) for chunk in chunks))
    said = [chunk.text for chunk in tts.request(LONG, normalize=False).passages]
    assert [" ".join(text.split()) for text, _ in parts] == said
    assert all(LONG[start:stop] == text for text, (start, stop) in parts)


def test_spans_are_those_of_the_users_own_text(tts: Llasa) -> None:
    """However it is spoken, and however it arrives."""
    text = "It’s 5pm —\nthe FBI’s [Siobhan](shivawn) paid $3.50.\n\n- one\n- two 😀 three"
    shown = [
        "It’s 5pm —\nthe FBI’s [Siobhan](shivawn) paid $3.50.",
        *("one", "two 😀 three"),
    ]
    for given in (text, iter([text]), iter(text)):
        chunks = list(tts.stream(given, seed=1, voice="ann"))
        assert list(dict.fromkeys(c.text for c in chunks if c.text)) == shown
        assert all(text[slice(*chunk.span)] == chunk.text for chunk in chunks)


def test_the_decoding_can_be_chosen(tts: Llasa) -> None:
    small = StreamSettings(first=2, largest=4)
    chunks = list(tts.stream("A fox.", seed=3, decoding=small))
    assert chunks[0].tokens == 2
    assert chunks[0].seconds == 0.04
    assert len(chunks[0].pcm()) == 2 * len(chunks[0].samples)
    assert len(chunks) > len(list(tts.stream("A fox.", seed=3)))


def test_sound_comes_before_the_text_ends(tts: Llasa) -> None:
    events: list[str] = []

    def fragments() -> Iterator[str]:
        for fragment in ("Hello", " fox. And", " you? ", "Well. \U0001f600", " !"):
            events.append("text")
            yield fragment
        events.append("end")

    for chunk in tts.stream(fragments(), seed=1):
        events.append(chunk.text)
    told = list(dict.fromkeys(events))
    assert told == ["text", "Hello fox.", "And you?", "Well.", "end", ""]
    assert events.index("Hello fox.") < events.index("end")
    assert events[:3] == ["text", "text", "Hello fox."], "nothing is read before it is needed"


def test_a_text_in_fragments(tts: Llasa) -> None:
    """Each sentence as it is spoken alone in that place, pauses between them."""
    chunks = list(tts.stream(iter(["A fox", ". A d", "og."]), voice="ann", seed=5))
    assert chunks[-1].is_last
    assert not len(chunks[-1].samples)
    assert not any(chunk.is_last for chunk in chunks[:-1])
    spoken = [c for c in chunks if c.text == "A dog."]
    assert {c.span for c in spoken} == {(7, 13)}
    alone = tts("A dog.", voice="ann", seed=6)
    np.testing.assert_array_equal(np.concatenate([c.codes for c in spoken]), alone.codes)
    seconds = sum(c.seconds for c in spoken)
    assert seconds == pytest.approx(alone.seconds + PARAGRAPH)


def test_foreign_words_do_not_end_what_is_heard_already(tmp_path: Path) -> None:
    settings = ModelConfig("tiny", languages=("en",))
    model = Llasa.load(write_tiny_model(tmp_path, settings), device="cpu")
    end = "It was the best day that we ever had there with all of our friends."
    sentences = ["I went to Tokyo. ", "東京タワー! ", end]
    whole = model("".join(sentences), seed=1, max_seconds=1).warnings
    assert any("cannot say: 東京タワー" in warning for warning in whole)

    def told(**settings: Any) -> list[str]:
        chunks = model.stream(iter(sentences), seed=1, **settings)
        return [w for chunk in chunks for w in chunk.warnings if "speaks English" in w]

    for warnings in (told(), told(force=True)):
        assert len(warnings) == len(set(warnings))
        assert whole[0] in warnings
    with pytest.raises(LlasaError, match="most of the text is in Chinese letters"):
        next(model.stream(iter(["東京タワー! ", "I went."]), seed=1))


def test_joints_are_silent(tts: Llasa) -> None:
    chunks = list(tts.stream(LONG, seed=3))
    border = sum(len(c.samples) for c in chunks if c.text == chunks[0].text)
    sound = joined(chunks)
    pause = round(pause_after(chunks[0].text) * tts.rate)
    assert not sound[border - pause : border].any()
    assert abs(sound[border]) < 1e-3
    assert abs(sound[border - pause - 1]) < 1e-3


def test_closing_gives_the_engine_back(tts: Llasa) -> None:
    stream = tts.stream(LONG, seed=3)
    assert running(tts) == 0
    next(stream)
    assert running(tts) == 1
    stream.close()  # type: ignore[attr-defined]
    assert running(tts) == 0
    stream = tts.stream(LONG, seed=3)
    next(stream)
    del stream
    assert running(tts) == 0


def test_an_error_in_the_text_gives_the_engine_back(tts: Llasa) -> None:
    def broken() -> Iterator[str]:
        yield "A fox. A dog. "
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        list(tts.stream(broken(), seed=3))
    assert running(tts) == 0


def test_two_streams_and_a_call_do_not_disturb_each_other(tts: Llasa) -> None:
    expected = joined(list(tts.stream(LONG, seed=3)))
    one, two = tts.stream(LONG, seed=3), tts.stream(LONG, seed=3)
    chunks = []
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first.samples, second.samples)
        chunks.append(first)
        tts("A fox.", seed=1, max_seconds=0.1)
    np.testing.assert_allclose(joined(chunks), expected, atol=1e-5)


def test_max_seconds(tts: Llasa) -> None:
    chunks = list(tts.stream(LONG, seed=3, max_seconds=2.5))
    assert joined(chunks).shape == (40_000,)
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert running(tts) == 0


def test_models_that_do_not_clone(tmp_path: Path) -> None:
    model = Llasa.load(write_tiny_model(tmp_path, ModelConfig("tiny", cloning=False)), device="cpu")
    speech = model(LONG, seed=2)
    chunks = list(model.stream(LONG, seed=2))
    np.testing.assert_array_equal(np.concatenate([c.codes for c in chunks]), speech.codes)
    assert len(joined(chunks)) == len(speech.audio.samples)


def test_nothing_said(mute: Path) -> None:
    model = Llasa.load(mute, device="cpu")
    with pytest.raises(LlasaError, match="said nothing for 'A fox"):
        list(model.stream("A fox.", seed=1))
    assert running(model) == 0


@pytest.mark.parametrize(
    ("text", "settings", "reason"),
    [
        ("", {}, "The text is empty"),
        (5, {}, "must be a string, or give strings, not int"),
        ("A", {"seed": -1}, "seed is -1"),
        ("A", {"voice": "anne"}, "Did you mean ann"),
        ("A", {"max_seconds": 0}, "max_seconds is"),
        ("A", {"heat": 1}, "'heat' is unknown"),
        (["A"], {"seed": -1}, "seed is -1"),
    ],
)
def test_bad_input_is_refused_at_once(
    tts: Llasa, text: Any, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(LlasaError, match=reason):
        tts.stream(text, **settings)


@pytest.mark.parametrize(
    ("fragments", "reason"),
    [([], "is empty"), ([" ", "..."], "no letter"), ([b"A"], "strings, not bytes")],
)
def test_bad_fragments(tts: Llasa, fragments: list[Any], reason: str) -> None:
    with pytest.raises(LlasaError, match=reason):
        list(tts.stream(fragments))
