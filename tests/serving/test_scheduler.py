"""Continuous batching gives what each request gives alone, in order, within its bounds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("prometheus_client", reason="needs the extra serve")

import llasa
from llasa.base.errors import LlasaError
from llasa.codec.model import CodecModel
from llasa.serving.scheduler import BusyError, Limits
from llasa.tts.chunks import AudioChunk
from llasa.tts.llasa import Llasa
from llasa.tts.speech import Speech
from tests.tiny_model import tone
from tests.waiting import PATIENCE, wait_for

from .tools import ask, scheduling

pytestmark = pytest.mark.usefixtures("own_voices")

LONG = " ".join(f"This is sentence number {n}, and the fox jumps over the dog." for n in range(6))
HOLD = "The fox jumps over the lazy dog, again and again, and the dog does not mind it at all."


def hold(tts: Llasa) -> object:
    """Speak until somebody closes it."""
    return tts(HOLD)


@pytest.fixture
def tts(tiny: Path) -> Llasa:
    return Llasa.load(tiny, device="cpu")


@pytest.fixture
def endless_tts(endless: Path) -> Llasa:
    return Llasa.load(endless, device="cpu")


def speaking(settings: dict[str, Any]) -> Callable[[Llasa], Speech]:
    return lambda tts: tts(**settings)


def streaming(settings: dict[str, Any]) -> Callable[[Llasa], list[AudioChunk]]:
    return lambda tts: list(tts.stream(**settings))


@pytest.mark.slow
def test_requests_together_give_exactly_what_each_gives_alone(tiny: Path, tts: Llasa) -> None:
    alone = Llasa.load(tiny, device="cpu")
    beams = partial(llasa.partial_search, beams=2, expand=2, seconds=0.6, n=3, verify="length")
    asked: list[tuple[dict[str, Any], int]] = [
        ({"text": "A fox.", "seed": 1}, 1),
        ({"text": LONG, "seed": 2, "temperature": 0.5, "top_k": 9}, 1),
        ({"text": LONG, "voice": "random", "seed": 3, "max_seconds": 3.0}, 1),
        ({"text": "Two dogs.", "voice": "ann", "seed": 4, "search": beams}, 4),
    ]
    with scheduling(tts, Limits(batch=6)) as scheduler:
        whole = [ask(scheduler, speaking(s), width)[0] for s, width in asked]
        streams = [ask(scheduler, streaming(s), width)[0] for s, width in asked]
        for (settings, _), one, other in zip(asked, whole, streams, strict=True):
            speech, expected = one.result(PATIENCE), alone(**settings)
            np.testing.assert_array_equal(speech.audio.samples, expected.audio.samples)
            assert speech.finish_reason == expected.finish_reason
            chunks, wanted = other.result(PATIENCE), list(alone.stream(**settings))
            for chunk, known in zip(chunks, wanted, strict=True):
                np.testing.assert_array_equal(chunk.samples, known.samples)
        wait_for(lambda: scheduler.shared.running == 0)


def test_text_may_follow(tiny: Path, tts: Llasa) -> None:
    def fragments() -> Iterator[str]:
        yield from ("One fox", ". Two fo", "xes.")

    expected = list(Llasa.load(tiny, device="cpu").stream(fragments(), voice="ann", seed=1))
    with scheduling(tts) as scheduler:
        work = lambda tts: list(tts.stream(fragments(), voice="ann", seed=1))  # noqa: E731
        chunks = ask(scheduler, work)[0].result(PATIENCE)
    assert [chunk.text for chunk in chunks] == [chunk.text for chunk in expected]
    assert [chunk.codes.tolist() for chunk in chunks] == [c.codes.tolist() for c in expected]


def test_more_than_the_queue_holds_is_refused(endless_tts: Llasa) -> None:
    with scheduling(endless_tts, Limits(batch=1, queue=2)) as scheduler:
        callers = [ask(scheduler, hold)[1] for _ in range(3)]
        with pytest.raises(BusyError) as refused:
            ask(scheduler, hold)
        assert 1 <= refused.value.retry_after <= 60
        callers[0].close()
        wait_for(lambda: scheduler.open == 2)
        ask(scheduler, hold)


def test_closing_frees_the_place_before_the_next_step(endless_tts: Llasa) -> None:
    with scheduling(endless_tts, Limits(batch=2)) as scheduler:
        asked = [ask(scheduler, hold) for _ in range(3)]
        wait_for(lambda: scheduler.shared.running == 2)
        sequences = [g for _, caller in asked for g in caller.live]
        for future, caller in asked:
            caller.close()
            with pytest.raises(CancelledError):
                future.result(PATIENCE)
        wait_for(lambda: scheduler.shared.running == 0)
        assert {g.finish for g in sequences} == {"released"}
        assert not endless_tts.engine.running  # type: ignore[attr-defined]
        with pytest.raises(CancelledError):
            asked[0][1].start([[1]], sequences[0].params)


def test_a_short_text_does_not_wait_for_long_ones(endless_tts: Llasa) -> None:
    with scheduling(endless_tts, Limits(batch=4)) as scheduler:
        long = [ask(scheduler, lambda tts: tts(LONG, voice="ann"))[0] for _ in range(3)]
        wait_for(lambda: scheduler.shared.running == 3)
        short = ask(scheduler, lambda tts: tts("A fox.", voice="ann", max_seconds=1))[0]
        assert short.result(PATIENCE).seconds == 1
        assert not any(future.done() for future in long)


def test_who_came_first_starts_first(endless_tts: Llasa) -> None:
    """A long text queues up anew for each part, and nobody overtakes those who need much room."""
    said: list[str] = []

    def speak(text: str, tts: Llasa) -> None:
        for chunk in tts.stream(text, voice="ann", max_seconds=30):
            if chunk.text not in said:
                said.append(chunk.text)

    with scheduling(endless_tts, Limits(batch=2)) as scheduler:
        assert scheduler.ready.wait(PATIENCE)
        long = ask(scheduler, partial(speak, "One fox. " * 12 + "Two dogs."))[0]
        wait_for(lambda: scheduler.shared.running == 1)
        wide = ask(scheduler, partial(speak, "Wide."), width=2)[0]
        wait_for(lambda: scheduler.shared.waiting == 1)
        narrow = ask(scheduler, partial(speak, "Narrow."))[0]
        for future in (long, wide, narrow):
            future.result(PATIENCE)
    assert said[0].startswith("One fox.")
    assert said[1] == "Wide."
    assert "Narrow." in said[2:4]


@pytest.mark.slow
def test_a_long_text_leaves_places_to_others(endless_tts: Llasa) -> None:
    with scheduling(endless_tts, Limits(batch=8)) as scheduler:
        most = []
        future = ask(scheduler, lambda tts: tts(LONG, voice="ann", max_seconds=10))[0]

        def ended() -> bool:
            most.append(scheduler.shared.running)
            return future.done()

        wait_for(ended)
    assert max(most) == 2


def test_shutdown_finishes_what_was_accepted(tts: Llasa) -> None:
    with scheduling(tts, Limits(batch=2)) as scheduler:
        futures = [ask(scheduler, lambda tts: tts("A lazy dog."))[0] for _ in range(5)]
        scheduler.shutdown()
        assert all(future.result(0).tokens for future in futures)
        with pytest.raises(BusyError, match="shutting down"):
            ask(scheduler, hold)


def test_a_model_that_says_nothing_fails_its_request_only(mute: Path) -> None:
    with scheduling(Llasa.load(mute, device="cpu")) as scheduler:
        for _ in range(2):
            future = ask(scheduler, lambda tts: tts("A fox."))[0]
            with pytest.raises(LlasaError, match="said nothing"):
                future.result(PATIENCE)


def test_a_broken_step_does_not_end_the_thread(tts: Llasa, monkeypatch: pytest.MonkeyPatch) -> None:
    advance: Any = tts.engine.advance
    broken = threading.Event()

    def fail(*args: Any) -> None:
        if broken.is_set():
            raise RuntimeError("no memory")
        advance(*args)

    with scheduling(tts) as scheduler:
        assert scheduler.ready.wait(PATIENCE)
        monkeypatch.setattr(tts.engine, "advance", fail)
        broken.set()
        with pytest.raises(RuntimeError, match="no memory"):
            ask(scheduler, lambda tts: tts("A fox."))[0].result(PATIENCE)
        assert scheduler.shared.failing
        broken.clear()
        assert ask(scheduler, lambda tts: tts("A fox."))[0].result(PATIENCE).tokens
        assert not scheduler.shared.failing
        wait_for(lambda: scheduler.shared.running == 0)


def test_the_codec_may_be_used_in_any_thread(tiny: Path, tts: Llasa) -> None:
    alone = Llasa.load(tiny, device="cpu").codec
    with scheduling(tts) as scheduler:
        (codes,) = scheduler.tts.codec.encode([tone(1.0)])
        np.testing.assert_array_equal(codes, alone.encode([tone(1.0)])[0])
        (sound,) = scheduler.tts.codec.decode([codes])
        np.testing.assert_array_equal(sound, alone.decode([codes])[0])
        with pytest.raises(LlasaError, match="valid are 0 to 63"):
            scheduler.tts.codec.decode([[64]])


def test_what_is_spoken_is_decoded_in_one_thread(
    tts: Llasa, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a whole, streamed, and by a search."""
    threads: list[str] = []
    decode = CodecModel.decode_part

    def watched(*args: Any) -> Any:
        threads.append(threading.current_thread().name)
        return decode(*args)

    monkeypatch.setattr(CodecModel, "decode_part", watched)
    search = partial(llasa.best_of_n, n=2, verify="length")
    with scheduling(tts) as scheduler:
        assert scheduler.ready.wait(PATIENCE)
        for work in (
            lambda tts: tts("A fox."),
            lambda tts: list(tts.stream("A fox.")),
            lambda tts: tts("A fox.", search=search),
        ):
            threads.clear()
            ask(scheduler, work)[0].result(PATIENCE)
            assert {name.rpartition("_")[0] for name in threads} == {"llasa-codec"}


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"queue": -1}, {"seconds": float("nan")}])
def test_limits_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(LlasaError, match="give at least"):
        Limits(**wrong)
