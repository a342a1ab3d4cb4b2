"""Mel filter banks against those of Transformers."""

from __future__ import annotations

import numpy as np
import pytest

from llasa.audio.mel import mel_filters


@pytest.mark.oracle
@pytest.mark.parametrize(("rate", "n_fft", "mels"), [(16_000, 400, 80), (24_000, 1024, 40)])
def test_filters_equal_those_of_transformers(rate: int, n_fft: int, mels: int) -> None:
    oracle = pytest.importorskip("transformers.audio_utils").mel_filter_bank
    sizes = (n_fft // 2 + 1, mels)
    slaney = oracle(*sizes, 0.0, rate / 2, rate, norm="slaney", mel_scale="slaney")
    np.testing.assert_allclose(mel_filters(rate, n_fft, mels), slaney, atol=1e-12)
    kaldi = oracle(*sizes, 20.0, rate / 2, rate, mel_scale="kaldi", triangularize_in_mel_space=True)
    np.testing.assert_allclose(mel_filters(rate, n_fft, mels, "kaldi"), kaldi, atol=1e-9)


def test_slaney_triangles_have_unit_area_and_kaldi_ones_unit_height() -> None:
    slaney, kaldi = mel_filters(16_000, 8192, 20), mel_filters(16_000, 8192, 20, "kaldi")
    np.testing.assert_allclose(slaney.sum(0) * 16_000 / 8192, 1, rtol=1e-3)
    np.testing.assert_allclose(kaldi.max(0), 1, atol=0.05)
    assert kaldi[: int(20 * 8192 / 16_000)].max() == 0  # nothing below 20 Hz
    assert slaney.min() == kaldi.min() == 0
