"""Quality: mean opinion scores (1 to 5) as DistillMOS and DNSMOS predict them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from llasa.audio import Samples
from llasa.errors import LlasaError
from llasa.search.verifiers.asr import BATCH
from llasa.search.verifiers.base import RATE, Candidate, Scores, speech
from llasa.search.verifiers.mel import mel_power
from llasa.search.verifiers.packages import find_checkpoint, onnx, package_file

Measure = Literal["ovrl", "sig", "bak", "p808"]
POLYNOMIALS = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
"""From DNSMOS' three outputs, in this order, to opinion scores (its authors' fit)."""


class DistillMOS:
    """Overall quality of speech (arXiv 2502.05356), the mean over windows of 7.68 s.

    `source`: a checkpoint (file, folder or hub id) in place of the package's.
    """

    name = family = "distillmos"
    needs = frozenset({"audio"})
    shortest = 0.1
    window, hop = 122_880, RATE

    def __init__(self, source: str | Path | None = None, device: str = "cpu") -> None:
        self.source, self.device = source, device

    def load(self) -> None:
        """Open the model; `LlasaError` where it is missing."""
        _ = self._model

    def score(self, batch: Sequence[Candidate], /) -> Scores:
        """Predicted mean opinion scores."""
        return self.predict([speech(c.audio) for c in batch if c.audio is not None])

    def predict(self, clips: Sequence[Samples]) -> Scores:
        """Predicted mean opinion scores of clips of 16 kHz speech."""
        import torch

        parts = [self._windows(clip) for clip in clips]
        windows = torch.from_numpy(np.concatenate(parts)).to(self.device)
        with torch.inference_mode():
            found = torch.cat([self._model(part) for part in torch.split(windows, BATCH)])
        values = found.double().cpu().numpy()
        return _means(values, parts)

    def _windows(self, clip: Samples) -> NDArray[np.float32]:
        """Windows spread evenly over the clip, each at full scale: (n, samples)."""
        over = max(0, len(clip) - self.window)
        padded = np.pad(clip, (0, max(0, self.window - len(clip))))
        starts = (np.linspace(0, 1, -(-over // self.hop) + 1) * over).astype(int)
        windows = np.stack([padded[start : start + self.window] for start in starts])
        return windows / (np.abs(windows).max(axis=1, keepdims=True) + 1e-8)

    @cached_property
    def _model(self) -> Any:
        from llasa.search.verifiers.distillmos import load_network

        if self.source is None:
            path = package_file("distillmos", "weights/distill_mos_v7.pt")
        else:
            path = find_checkpoint(self.source)
        return load_network(path, self.device)


class DNSMOS:
    """Microsoft's DNSMOS: overall, signal and background quality (P.835), or P.808.

    Made for noise and artefacts, weak for naturalness. Clips shorter than 9.01 s are repeated, on
    longer ones the scores of windows one second apart are averaged, as its authors do.
    """

    family = "dnsmos"
    needs = frozenset({"audio"})
    shortest = 0.1
    window = 144_160

    def __init__(self, measure: Measure = "ovrl") -> None:
        if measure not in get_args(Measure):
            raise LlasaError(
                f"DNSMOS has no measure {measure!r}: valid are {', '.join(get_args(Measure))}."
            )
        self.measure = measure
        self.name = "dnsmos" if measure == "ovrl" else f"dnsmos:{measure}"

    def load(self) -> None:
        """Open the model; `LlasaError` where it is missing."""
        _ = self._session

    def score(self, batch: Sequence[Candidate], /) -> Scores:
        """Predicted mean opinion scores."""
        return self.predict([speech(c.audio) for c in batch if c.audio is not None])

    def predict(self, clips: Sequence[Samples]) -> Scores:
        """Predicted mean opinion scores of clips of 16 kHz speech."""
        parts = [self._windows(clip.clip(-1, 1)) for clip in clips]
        windows = np.concatenate(parts)
        found = np.concatenate(
            [self._run(windows[i : i + BATCH]) for i in range(0, len(windows), BATCH)]
        )
        return _means(found, parts)

    def _run(self, windows: NDArray[np.float32]) -> Scores:
        if self.measure == "p808":
            mels = np.stack([_decibel_mel(window[:-160]) for window in windows])
            return np.asarray(self._session.run(None, {"input_1": mels})[0], np.float64)[:, 0]
        raw = np.asarray(self._session.run(None, {"input_1": windows})[0], np.float64)
        column = list(POLYNOMIALS).index(self.measure)
        return np.asarray(np.polyval(POLYNOMIALS[self.measure], raw[:, column]), np.float64)

    def _windows(self, clip: Samples) -> NDArray[np.float32]:
        while len(clip) < self.window:
            clip = np.concatenate([clip, clip])
        count = max(1, int(len(clip) // RATE - self.window / RATE) + 1)
        starts = [index * RATE for index in range(count)]
        return np.stack([clip[start : start + self.window] for start in starts])

    @cached_property
    def _session(self) -> Any:
        file = "model_v8.onnx" if self.measure == "p808" else "sig_bak_ovr.onnx"
        return onnx(package_file("speechmos", f"dnsmos_models/{file}"))


def _decibel_mel(window: Samples) -> NDArray[np.float32]:
    """Mel bands in decibels below the loudest, 80 at the most, scaled to [-1, 1]: (900, 120)."""
    power = mel_power(window, 321, 120).astype(np.float64)
    decibel = 10 * np.log10(np.maximum(power, 1e-10) / max(power.max(), 1e-10))
    return ((np.maximum(decibel, -80.0) + 40) / 40).astype(np.float32)


def _means(values: Scores, parts: Sequence[NDArray[np.float32]]) -> Scores:
    """The mean value of each clip's windows."""
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return np.array([part.mean() for part in np.split(values, ends)])
