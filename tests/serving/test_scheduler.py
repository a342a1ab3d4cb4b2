"""Continuous batching gives what each request gives alone, in order, within its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("prometheus_client", reason="needs the extra serve")

from llasa.errors import LlasaError
from llasa.serving.scheduler import BusyError, Limits
from llasa.synthesis import Llasa
from tiny_model import endless, mute, own_voices, tiny

from .tools import Listener, scheduling, wait_for

__all__ = ["endless", "mute", "own_voices", "tiny"]
pytestmark = pytest.mark.usefixtures("own_voices")

LONG = " ".join(f"This is sentence number {n}, and the fox jumps over the dog." for n in range(6))
HOLD = "The fox jumps over the lazy dog, again and again, and the dog does not mind it at all."


@pytest.fixture
def tts(tiny: Path) -> Llasa:
    return Llasa.load(tiny, device="cpu")


@pytest.fixture
def endless_tts(endless: Path) -> Llasa:
    return Llasa.load(endless, device="cpu")


def test_requests_together_give_exactly_what_each_gives_alone(tiny: Path, tts: Llasa) -> None:
    alone = Llasa.load(tiny, device="cpu")
    asked = [("A fox.", None, 1), (LONG, None, 2), (LONG, "random", 3), ("Two dogs.", "ann", 4)]
    with scheduling(tts, Limits(batch=4)) as scheduler:
        listeners = []
        for text, voice, seed in asked:
            listeners.append(Listener())
            scheduler.submit(tts.request(text, voice, seed), listeners[-1])
        for (text, voice, seed), listener in zip(asked, listeners, strict=True):
            samples, done = listener.all()
            speech = alone(text, voice=voice, seed=seed)
            np.testing.assert_array_equal(samples, speech.audio.samples)
            assert done.tokens == speech.tokens
            assert done.finish_reason == speech.finish_reason
            assert done.seconds == pytest.approx(speech.seconds)


def test_settings_and_length_are_those_of_the_request(tiny: Path, tts: Llasa) -> None:
    alone = Llasa.load(tiny, device="cpu")
    for settings in ({"temperature": 0.5, "top_k": 9}, {"max_seconds": 0.7}, {"max_seconds": 3.0}):
        with scheduling(tts) as scheduler:
            listener = Listener()
            scheduler.submit(tts.request(LONG, None, 5, **settings), listener)  # type: ignore[arg-type]
            samples, done = listener.all()
        speech = alone(LONG, seed=5, **settings)  # type: ignore[arg-type]
        np.testing.assert_array_equal(samples, speech.audio.samples)
        assert done.finish_reason == speech.finish_reason


def test_live_sound_comes_in_pieces_and_has_the_same_length(tiny: Path, tts: Llasa) -> None:
    speech = Llasa.load(tiny, device="cpu")(LONG, seed=2)
    with scheduling(tts) as scheduler:
        listener = Listener()
        scheduler.submit(tts.request(LONG, None, 2), listener, live=True)
        first = listener.events.get(timeout=60)
        assert isinstance(first, np.ndarray)
        assert 0 < len(first) < 16_000
        rest, done = listener.all()
    assert len(first) + len(rest) == len(speech.audio.samples)
    assert done.tokens == speech.tokens


def test_text_may_follow(tiny: Path, tts: Llasa) -> None:
    alone = Llasa.load(tiny, device="cpu")
    with scheduling(tts) as scheduler:
        listener = Listener()
        ticket = scheduler.submit(tts.request("One fox.", "ann", 1), listener, ended=False)
        first = listener.events.get(timeout=60)
        np.testing.assert_array_equal(first, alone("One fox.", voice="ann", seed=1).audio.samples)
        scheduler.extend(ticket, ["Two foxes."])
        second = listener.events.get(timeout=60)
        expected = alone("Two foxes.", voice="ann", seed=2).audio.samples
        assert isinstance(second, np.ndarray)
        np.testing.assert_array_equal(second[-len(expected) :], expected)
        assert not second[: -len(expected)].any()  # the pause
        scheduler.extend(ticket, [], ended=True)
        assert listener.all()[1].finish_reason == "stop"


def test_more_than_the_queue_holds_is_refused(endless_tts: Llasa) -> None:
    with scheduling(endless_tts, Limits(batch=1, queue=2)) as scheduler:
        request = endless_tts.request
        tickets = [scheduler.submit(request(HOLD), Listener()) for _ in range(3)]
        with pytest.raises(BusyError) as refused:
            scheduler.submit(request(HOLD), Listener())
        assert 1 <= refused.value.retry_after <= 60
        scheduler.close(tickets[0])
        wait_for(lambda: tickets[1].started == 1)
        scheduler.submit(request(HOLD), Listener())


def test_closing_frees_the_place_before_the_next_step(endless_tts: Llasa) -> None:
    engine = endless_tts.engine
    with scheduling(endless_tts, Limits(batch=2)) as scheduler:
        tickets = [scheduler.submit(endless_tts.request(HOLD), Listener()) for _ in range(2)]
        wait_for(lambda: scheduler.places_taken == 2)
        running = [g for ticket in tickets for g in ticket.running.values()]
        for ticket in tickets:
            scheduler.close(ticket)
        wait_for(lambda: scheduler.places_taken == 0)
        assert {g.finish for g in running} == {"released"}
        assert not engine._live  # type: ignore[attr-defined]


def test_a_short_text_does_not_wait_for_long_ones(endless_tts: Llasa) -> None:
    tts = endless_tts
    with scheduling(tts, Limits(batch=4)) as scheduler:
        long = [scheduler.submit(tts.request(LONG, "ann"), Listener()) for _ in range(3)]
        wait_for(lambda: scheduler.places_taken == 3)
        listener = Listener()
        scheduler.submit(tts.request("A fox.", "ann", max_seconds=1), listener)
        assert listener.all()[1].seconds == 1
        assert not any(ticket.done for ticket in long)


def test_a_long_text_leaves_places_to_others(endless_tts: Llasa) -> None:
    limits = Limits(batch=8, seconds=60)
    request = endless_tts.request(LONG, "ann")
    with scheduling(endless_tts, limits) as scheduler:
        ticket = scheduler.submit(request, Listener())
        ticket.told = 1  # as if the first part had been heard
        ticket.started = 1
        wait_for(lambda: len(ticket.running) == 4)
        assert not ticket.can_start(4, limits)
        ticket.running.clear()
        assert not ticket.can_start(6, limits)
        assert ticket.can_start(5, limits)


def test_shutdown_finishes_what_was_accepted(tts: Llasa) -> None:
    listeners = [Listener() for _ in range(5)]
    with scheduling(tts, Limits(batch=2)) as scheduler:
        for listener in listeners:
            scheduler.submit(tts.request("A lazy dog."), listener)
        scheduler.shutdown()
        assert all(listener.all()[1].tokens for listener in listeners)
        with pytest.raises(BusyError, match="shutting down"):
            scheduler.submit(tts.request("A fox."), Listener())


def test_a_model_that_says_nothing_fails_its_request_only(mute: Path) -> None:
    tts = Llasa.load(mute, device="cpu")
    with scheduling(tts) as scheduler:
        for _ in range(2):
            listener = Listener()
            scheduler.submit(tts.request("A fox."), listener)
            with pytest.raises(LlasaError, match="said nothing"):
                listener.all()
        wait_for(lambda: scheduler.places_taken == 0)


def test_a_broken_step_does_not_end_the_thread(tts: Llasa, monkeypatch: pytest.MonkeyPatch) -> None:
    advance: Any = tts.engine.advance
    broken = [True]

    def fail_once(*args: Any) -> None:
        if broken.pop():
            broken.append(False)
            raise RuntimeError("no memory")
        broken.append(False)
        advance(*args)

    with scheduling(tts) as scheduler:
        assert scheduler.ready.wait(60)
        monkeypatch.setattr(tts.engine, "advance", fail_once)
        listener, other = Listener(), Listener()
        scheduler.submit(tts.request("A fox."), listener)
        with pytest.raises(RuntimeError, match="no memory"):
            listener.all()
        scheduler.submit(tts.request("A fox."), other)
        assert other.all()[1].tokens


def test_calls_run_between_steps_and_hand_errors_on(tts: Llasa) -> None:
    with scheduling(tts) as scheduler:
        assert scheduler.call(lambda: 42).result(60) == 42
        with pytest.raises(ZeroDivisionError):
            scheduler.call(lambda: 1 // 0).result(60)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"queue": -1}, {"seconds": float("nan")}])
def test_limits_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(LlasaError, match="give at least"):
        Limits(**wrong)
