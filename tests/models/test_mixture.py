"""Voices between voices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from llasa.base.errors import LlasaError
from llasa.base.names import is_mixture, weighted_names
from llasa.codec.speaker import SpeakerEmbedding
from llasa.models.mixture import mixed
from llasa.models.voice import Voice


def voice(name: str, values: list[float], maker: str = "one") -> Voice:
    embedding = SpeakerEmbedding(np.array(values, np.float32), maker)
    return Voice(name, "Words.", np.arange(50), "codec", speaker_embedding=embedding)


VOICES = {
    "ann": voice("ann", [1.4, 0.2]),
    "bea": replace(voice("bea", [0.2, 1.4]), codes=np.arange(60)),
    "con": voice("con", [-1.4, -0.2]),
    "far": voice("far", [1.4, 0.2], maker="two"),
    "tom": Voice("tom", speaker="tom"),
}


def test_names_and_weights() -> None:
    assert weighted_names("ann", "name") == [("ann", 1.0)]
    assert weighted_names(" ann (2) + bea(0.5)", "name") == [("ann", 2.0), ("bea", 0.5)]
    assert is_mixture("ann+bea")
    assert is_mixture("ann(2)")
    assert not is_mixture("ann")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ann+", "'' is not a valid name"),
        ("ann(0)+bea", "'ann(0)' has no weight: give more than 0"),
        ("ann(-1)", "is not a valid name"),
        ("ann(1e9)", "is not a valid name"),
        ("(2)", "'' is not a valid name"),
        ("+".join("abcdefghi"), "mixes too many: give up to 8"),
        ("a+" * 300_000, "mixes too many"),
        ("a(" * 300_000 + ")", "is not a valid name"),
        ("a" + " " * 300_000 + ")", "is not a valid name"),
    ],
)
def test_what_is_no_mixture(name: str, sentence: str) -> None:
    with pytest.raises(LlasaError) as refused:
        weighted_names(name, "name")
    assert sentence in str(refused.value)
    assert len(str(refused.value)) < 250


def test_a_mixture_lies_between() -> None:
    mean = mixed(" ann(3.0)  +   bea(1)", VOICES.__getitem__)
    assert mean.name == "ann(3)+bea"
    values = mean.speaker_embedding.values
    assert values.dtype == np.float32
    assert np.square(values).mean() == pytest.approx(1)
    np.testing.assert_allclose(values[0] / values[1], (3 * 1.4 + 0.2) / (3 * 0.2 + 1.4), rtol=1e-5)
    assert len(mean.codes) == 50
    assert len(mixed("ann+bea(2)", VOICES.__getitem__).codes) == 60
    np.testing.assert_allclose(
        mixed("ann(7)", VOICES.__getitem__).speaker_embedding.values,
        VOICES["ann"].speaker_embedding.values,
        atol=1e-3,
    )


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ann+tom", "Voice tom cannot be mixed, as it has no speaker embedding"),
        ("ann+far", "were made with different codecs"),
        ("ann+con", "cancel each other"),
    ],
)
def test_what_cannot_be_mixed(name: str, sentence: str) -> None:
    with pytest.raises(LlasaError, match=sentence):
        mixed(name, VOICES.__getitem__)
