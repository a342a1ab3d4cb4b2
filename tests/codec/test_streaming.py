"""Streamed decoding against decoding all codes at once."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from llasa import load_codec
from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.codec.config import CodecConfig
from llasa.codec.streaming import StreamingDecoder, StreamSettings
from tests.tiny_model import CODEC, tiny_codec

WINDOWED = replace(CODEC, decoder_layers=2, decoder_window=4, time_rotary=True)
NEAR = 13
EXACT = StreamSettings(context=NEAR + 2 * 4, ahead=NEAR + 1, first=2, largest=16)
BY_ROUNDING = {"istft": 1e-5, "harmonic": 1e-3}
"""Errors of samples; rounding moves the phase of a voice a little with each frame."""


def head(codec: Codec) -> str:
    return codec.model.config.decoder_head


@pytest.fixture(scope="module", params=[*product(BY_ROUNDING, (16_000, 24_000))], ids=str)
def codec(request: pytest.FixtureRequest) -> Codec:
    kind, rate = request.param
    return tiny_codec(config=replace(WINDOWED, decoder_head=kind, output_rate=rate))


def some_codes(count: int, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, 64, count)


def streamed(
    codec: Codec, codes: NDArray[np.int64], settings: StreamSettings, step: int = 1
) -> list[NDArray[np.float32]]:
    decoder = StreamingDecoder(codec, settings)
    pieces = [decoder.push(codes[i : i + step]) for i in range(0, len(codes), step)]
    return [*pieces, decoder.finish()]


def decibels(error: NDArray[np.float32], signal: NDArray[np.float32]) -> float:
    return float(20 * np.log10(np.linalg.norm(error) / np.linalg.norm(signal)))


@pytest.mark.parametrize("count", [1, 5, 16, 17, 200])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_decoder_of_bounded_reach_streams_exactly(codec: Codec, count: int, step: int) -> None:
    codes = some_codes(count)
    (whole,) = codec.decode([codes])
    joined = np.concatenate(streamed(codec, codes, EXACT, step))
    np.testing.assert_allclose(joined, whole, atol=BY_ROUNDING[head(codec)])


def test_reach_is_what_the_sound_depends_on(codec: Codec) -> None:
    """Changing one code changes the frames within reach, to both ends of it, and no others."""
    assert codec.model.config.reach == (NEAR + 8, NEAR)
    assert CodecConfig().reach is None
    codes = some_codes(100)
    other = codes.copy()
    other[50] = (other[50] + 31) % 64
    one, two = codec.decode([codes, other])
    changed = np.abs(one - two).reshape(100, -1).max(1) > 0
    frames = np.flatnonzero(changed)
    assert frames[0] >= 50 - NEAR
    assert frames[0] <= 50 - NEAR + 1
    assert frames[-1] >= 50 + NEAR
    if head(codec) == "istft":  # else the voice keeps another phase from there on
        assert frames[-1] <= 50 + NEAR + 8


def test_less_context_errs_more(codec: Codec) -> None:
    codes = some_codes(150)
    (whole,) = codec.decode([codes])
    errors = []
    for context, ahead in ((0, 1), (4, 4), (EXACT.context, EXACT.ahead)):
        settings = replace(EXACT, context=context, ahead=ahead)
        joined = np.concatenate(streamed(codec, codes, settings))
        assert len(joined) == len(whole)
        errors.append(decibels(joined - whole, whole))
    if head(codec) == "istft":  # phases that err are lost from there on, by much or little
        assert errors == sorted(errors, reverse=True)
    assert errors[-1] < {"istft": -100, "harmonic": -60}[head(codec)]
    assert min(errors[:-1]) > -20


def test_first_piece_is_small_then_they_grow(codec: Codec) -> None:
    pieces = [len(p) // codec.hop for p in streamed(codec, some_codes(100), EXACT) if len(p)]
    assert pieces == [2, 5, 12, 16, 16, 16, 16, 17]
    decoder = StreamingDecoder(codec, EXACT)
    assert decoder.missing == EXACT.first + EXACT.ahead
    assert not len(decoder.push(some_codes(decoder.missing - 1)))
    assert decoder.missing == 1
    assert len(decoder.push(some_codes(1))) == 2 * codec.hop
    assert decoder.missing == 5


def test_work_does_not_grow_with_what_came_before(codec: Codec) -> None:
    """However long the stream, no decode sees more than context, one stretch and what is ahead."""
    seen: list[int] = []

    class Counting:
        hop, frame_rate = codec.hop, codec.frame_rate

        def decode_part(self, codes: NDArray[np.int64], *place: Any) -> Any:
            seen.append(len(codes))
            return codec.decode_part(codes, *place)

    streamed(Counting(), some_codes(400), EXACT)  # type: ignore[arg-type]
    assert max(seen) <= EXACT.context + EXACT.largest + EXACT.ahead
    assert len(seen) > 20


def test_a_prompt_is_context_and_not_heard(codec: Codec) -> None:
    prompt, codes = some_codes(40, seed=1), some_codes(60)
    together = np.concatenate([prompt, codes])
    if head(codec) == "istft":
        whole = codec.decode([together])[0][40 * codec.hop :]
    else:  # phases begin with what is heard
        whole = codec.decode_part(together, 40)[0]
    decoder = StreamingDecoder(codec, EXACT, prompt)
    joined = np.concatenate([decoder.push(codes), decoder.finish()])
    np.testing.assert_allclose(joined, whole, atol=BY_ROUNDING[head(codec)])
    assert not len(StreamingDecoder(codec, EXACT, prompt).finish())


def test_no_clicks_where_the_decoder_sees_the_whole_clip() -> None:
    """Borders of a decoder that cannot be streamed exactly are no rougher than the rest."""
    codec = tiny_codec()
    codes = some_codes(300)
    pieces = streamed(codec, codes, StreamSettings(first=10, largest=20))
    joined = np.concatenate(pieces)
    jumps = np.abs(np.diff(joined))
    borders = np.cumsum([len(p) for p in pieces if len(p)])[:-1]
    assert np.median([jumps[p - 1] for p in borders]) < 3 * np.median(jumps) + 1e-6


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"context": -1}, "context is -1; give a whole number of at least 0"),
        ({"ahead": 0}, "ahead is 0"),
        ({"first": 2.5}, r"first is 2\.5"),
        ({"overlap": 20}, "overlap is 20: at most ahead"),
        ({"first": 10, "largest": 5}, "largest is 5: at least first"),
    ],
)
def test_impossible_settings(settings: dict[str, int], reason: str) -> None:
    with pytest.raises(LlasaError, match=reason):
        StreamSettings(**settings)


def test_borders_of_the_shipped_codec(speech: NDArray[np.float32]) -> None:
    """At every border within -40 dB of decoding at once, at the default setting, on real speech."""
    codec = load_codec("nano")
    (codes,) = codec.encode([speech])
    (whole,) = codec.decode([codes])
    pieces = streamed(codec, codes, StreamSettings(largest=20))
    error = np.concatenate(pieces) - whole
    level = np.sqrt(np.square(whole).mean())
    for border in np.cumsum([len(piece) for piece in pieces if len(piece)])[:-1]:
        near = error[border - codec.hop : border + codec.hop]
        assert 20 * np.log10(np.sqrt(np.square(near).mean()) / level) < -40
