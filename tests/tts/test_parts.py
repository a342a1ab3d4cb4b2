"""The one generator of parts: order, silences, limits, memory and second chances."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llasa.base.errors import LlasaError
from llasa.codec.streaming import StreamSettings
from llasa.models.folder import ModelConfig
from llasa.tts.llasa import Llasa
from llasa.tts.parts import KeptPart, Part
from tests.tiny_model import write_tiny_model

pytestmark = pytest.mark.usefixtures("own_voices")

LONG = " ".join(f"This is sentence number {n}, and the fox jumps over the dog." for n in range(5))
PAUSED = "A fox runs. [pause 0.5s] Two dogs sleep. [pause 1s]"


@pytest.fixture(scope="module")
def tts(tiny: Path) -> Llasa:
    return Llasa.load(tiny, device="cpu")


class Kept:
    """A memory of parts."""

    def __init__(self, parts: list[KeptPart]) -> None:
        self.parts = parts

    def read(self) -> Iterator[KeptPart]:
        return iter(list(self.parts))

    def add(self, part: KeptPart) -> None:
        self.parts.append(part)


def heard(parts: list[tuple[int, Part]], place: int = 0) -> np.ndarray[Any, Any]:
    return np.concatenate([part.samples for own, part in parts if own == place])


def test_texts_together_are_each_as_alone(tts: Llasa) -> None:
    texts = [LONG, "A fox.", PAUSED]
    requests = [tts.request(text, voice="random", seed=7) for text in texts]
    parts = list(tts.parts(requests))
    begun = [place for place, part in parts if part.number == 0 and part.ends]
    assert begun == [0, 1, 2], "the first part of each text comes first"
    assert [place for place, _ in parts][:3] == [0, 1, 2]
    for place, text in enumerate(texts):
        own = [part for other, part in parts if other == place]
        assert [part.last for part in own] == [False] * (len(own) - 1) + [True]
        alone = tts(text, voice="random", seed=7)
        np.testing.assert_array_equal(heard(parts, place), alone.audio.samples)


@pytest.mark.parametrize("decoding", [None, StreamSettings()])
def test_silences_lie_between_the_parts(tts: Llasa, decoding: StreamSettings | None) -> None:
    request = tts.request(PAUSED, seed=1)
    assert [request.source.silences(n) for n in range(2)] == [(0.0, 0.3), (0.2, 1.0)]
    parts = [part for _, part in tts.parts([request], decoding=decoding)]
    silent = [part for part in parts if not len(part.codes)]
    assert [(part.number, part.ends) for part in silent] == [(1, False), (1, False)]
    rest = 1.0 - request.passages[1].pause
    assert [len(part.samples) / tts.rate for part in silent] == pytest.approx([0.2, rest])
    assert silent[-1].last
    assert silent[-1].span == (request.passages[1].span[1],) * 2


def test_nothing_is_spoken_past_the_limit(tts: Llasa) -> None:
    request = tts.request(LONG, seed=3, max_seconds=2.0)
    parts = list(tts.parts([request], decoding=StreamSettings()))
    assert len(heard(parts)) == 2 * tts.rate
    last = parts[-1][1]
    assert (last.last, last.cut) == (True, True)
    assert last.number < len(request.passages) - 1


def test_what_is_remembered_is_not_spoken_again(tts: Llasa) -> None:
    request = tts.request(LONG, voice="random", seed=5)
    memory = Kept([])
    parts = list(tts.parts([request], memory=memory))
    spoken = [part for _, part in parts if part.ends]
    assert [kept.codes.tolist() for kept in memory.parts] == [p.codes.tolist() for p in spoken]
    resumed = Kept(memory.parts[:2])
    again = list(tts.parts([request], memory=resumed))
    np.testing.assert_array_equal(heard(again), heard(parts))
    assert len(resumed.parts) == len(spoken)
    silent = KeptPart(np.zeros(0, np.int64), True, ("Nothing was said.",))
    _, (_, second), *_ = tts.parts([request], memory=Kept([memory.parts[0], silent]))
    assert second.warnings == ("Nothing was said.",)
    assert len(second.samples) == round(request.passages[1].pause * tts.rate)


def test_parts_are_kept_before_they_are_heard(tts: Llasa) -> None:
    """Those that are spoken together are all there when the first of them is handed on."""
    memory = Kept([])
    parts = tts.parts([tts.request(LONG, seed=5)], memory=memory)
    seen = [len(memory.parts) for _ in range(2) if next(parts)]
    parts.close()
    assert seen == [1, 5]


def test_a_part_that_says_nothing_gets_its_second_chance_alone(tmp_path: Path) -> None:
    """Streamed or not, each part is the same, and only a lenient caller goes on without it."""
    settings = ModelConfig("tiny", cloning=False)
    path = write_tiny_model(tmp_path, settings, ends=float(np.log(64 * 2)))
    tts = Llasa.load(path, device="cpu")
    lost = 0
    for seed in range(12):
        request = tts.request(LONG, seed=seed)
        try:
            whole = [part for _, part in tts.parts([request], lenient=True)]
        except LlasaError as error:
            assert "said nothing" in str(error)  # noqa: PT017
            continue  # it was the first part
        silent = [part.number for part in whole if not len(part.codes)]
        lost += len(silent)
        for number in silent:
            assert "said nothing" in whole[number].warnings[0]
        streamed = list(tts.parts([request], decoding=StreamSettings(), lenient=True))
        codes = np.concatenate([part.codes for _, part in streamed])
        assert codes.tolist() == np.concatenate([part.codes for part in whole]).tolist()
        if silent:
            with pytest.raises(LlasaError, match="said nothing"):
                list(tts.parts([request]))
    assert lost


def test_how_it_ended_is_said_in_the_end(tts: Llasa, endless: Path) -> None:
    never = Llasa.load(endless, device="cpu")
    for model, reason in ((tts, "stop"), (never, "length")):
        *chunks, last = model.stream("A fox. Two dogs.", seed=1, voice="ann")
        assert {chunk.finish_reason for chunk in chunks} == {None}
        assert last.finish_reason == reason
