"""Filter banks against the feature extractor that the released codec was trained with."""

from typing import Any

import numpy as np
import pytest
import torch

from llasa.codec.features import fbank, semantic_features

from .tools import HOP, padded


def reference(waveform: Any) -> Any:
    """(frames, 160) of the original: 160 zeros on each side, then SeamlessM4TFeatureExtractor."""
    transformers = pytest.importorskip("transformers")
    extractor = transformers.SeamlessM4TFeatureExtractor()
    wide = np.pad(waveform, 160)
    return extractor(wide, sampling_rate=16_000, return_tensors="np").input_features[0]


def test_equal_to_seamless_on_synthetic_sound(clip: Any) -> None:
    waveform = padded(clip)
    ours = semantic_features(waveform)[0].numpy()
    theirs = reference(waveform[0].numpy())
    assert ours.shape == theirs.shape == (len(clip) // HOP + 1, 160)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_equal_to_seamless_on_speech(speech: Any) -> None:
    waveform = padded(speech)
    ours = semantic_features(waveform)[0].numpy()
    np.testing.assert_allclose(ours, reference(waveform[0].numpy()), atol=1e-3)


def test_a_batch_equals_its_items(clip: Any) -> None:
    waveforms = torch.from_numpy(clip[: 60 * HOP]).reshape(2, -1)
    together = semantic_features(waveforms)
    alone = torch.cat([semantic_features(row[None]) for row in waveforms])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_features_are_normalised_over_the_clip(clip: Any) -> None:
    mel = semantic_features(padded(clip)).reshape(-1, 80)
    torch.testing.assert_close(mel.mean(0), torch.zeros(80), atol=1e-4, rtol=0)
    torch.testing.assert_close(mel.std(0), torch.ones(80), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("hop", "width"), [(160, 80), (320, 160), (640, 320)])
def test_one_vector_per_codec_frame(hop: Any, width: Any) -> None:
    waveform = torch.randn(1, 10 * hop, generator=torch.Generator().manual_seed(0))
    assert semantic_features(waveform, hop).shape == (1, 10, width)


def test_silence_is_finite() -> None:
    assert semantic_features(torch.zeros(1, 10 * HOP)).isfinite().all()


def test_only_whole_windows_count() -> None:
    assert fbank(torch.zeros(1, 400)).shape == (1, 1, 80)
    assert fbank(torch.zeros(1, 559)).shape == (1, 1, 80)
    assert fbank(torch.zeros(1, 560)).shape == (1, 2, 80)
