"""Quality: mean opinion scores (1 to 5) as DistillMOS and DNSMOS predict them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Samples
from llasa.audio.mel import mel_power
from llasa.base.errors import LlasaError
from llasa.base.packages import onnx, package_file
from llasa.verifiers.base import RATE, Candidate, Scores, speech
from llasa.verifiers.inference import BATCH, LazyModel, means

DnsmosScale = Literal["ovrl", "sig", "bak", "p808"]
POLYNOMIALS = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
"""From DNSMOS' three outputs, in this order, to opinion scores (its authors' fit)."""

Windows = NDArray[np.float32]
"""Parts of one clip: (n, samples)."""


class Predictor(LazyModel):
    """Opinion scores as the mean over windows of a clip."""

    needs = frozenset({"audio"})
    shortest = 0.1

    def score(self, batch: Sequence[Candidate], /) -> Scores:
        return self.predict([speech(c.audio) for c in batch])

    def predict(self, clips: Sequence[Samples]) -> Scores:
        """Predicted mean opinion scores of clips of 16 kHz speech."""
        parts = [self._windows(clip) for clip in clips]
        windows = np.concatenate(parts)
        starts = range(0, len(windows), BATCH)
        return means(np.concatenate([self._run(windows[i : i + BATCH]) for i in starts]), parts)

    def _windows(self, clip: Samples) -> Windows:
        raise NotImplementedError

    def _run(self, windows: Windows) -> Scores:
        raise NotImplementedError


class DistillMOS(Predictor):
    """Overall quality of speech (arXiv 2502.05356), the mean over windows of 7.68 s.

    `source`: a checkpoint (file, folder or hub id) in place of the package's.
    """

    name = family = "distillmos"
    window, hop = 122_880, RATE

    @cached_property
    def model(self) -> Any:
        from llasa.verifiers.distillmos_network import load_network

        return load_network(self.weights("distillmos", "weights/distill_mos_v7.pt"), self.device)

    def _windows(self, clip: Samples) -> Windows:
        """Windows spread evenly over the clip, each at full scale."""
        over = max(0, len(clip) - self.window)
        padded = np.pad(clip, (0, max(0, self.window - len(clip))))
        starts = (np.linspace(0, 1, -(-over // self.hop) + 1) * over).astype(int)
        windows = np.stack([padded[start : start + self.window] for start in starts])
        return windows / (np.abs(windows).max(axis=1, keepdims=True) + 1e-8)

    def _run(self, windows: Windows) -> Scores:
        import torch

        with torch.inference_mode():
            found = self.model(torch.from_numpy(windows).to(self.device))
        return found.double().cpu().numpy()


class DNSMOS(Predictor):
    """Microsoft's DNSMOS: overall, signal and background quality (P.835), or P.808.

    Made for noise and artefacts, weak for naturalness. Clips shorter than 9.01 s are repeated, on
    longer ones the scores of windows one second apart are averaged, as its authors do.
    """

    family = "dnsmos"
    window = 144_160

    def __init__(self, measure: DnsmosScale = "ovrl") -> None:
        super().__init__()
        if measure not in get_args(DnsmosScale):
            raise LlasaError(
                f"DNSMOS has no measure {measure!r}: valid are {', '.join(get_args(DnsmosScale))}."
            )
        self.measure = measure
        self.name = "dnsmos" if measure == "ovrl" else f"dnsmos:{measure}"

    @cached_property
    def model(self) -> Any:
        file = "model_v8.onnx" if self.measure == "p808" else "sig_bak_ovr.onnx"
        return onnx(package_file("speechmos", f"dnsmos_models/{file}"))

    def _windows(self, clip: Samples) -> Windows:
        clip = clip.clip(-1, 1)
        while len(clip) < self.window:
            clip = np.concatenate([clip, clip])
        count = max(1, int(len(clip) // RATE - self.window / RATE) + 1)
        return np.stack([clip[i * RATE : i * RATE + self.window] for i in range(count)])

    def _run(self, windows: Windows) -> Scores:
        heard = windows
        if self.measure == "p808":
            heard = np.stack([_decibel_mel(window[:-160]) for window in windows])
        raw = np.asarray(self.model.run(None, {"input_1": heard})[0], np.float64)
        if self.measure == "p808":
            return raw[:, 0]
        column = list(POLYNOMIALS).index(self.measure)
        return np.asarray(np.polyval(POLYNOMIALS[self.measure], raw[:, column]), np.float64)


def _decibel_mel(window: Samples) -> Windows:
    """Mel bands in decibels below the loudest, 80 at the most, scaled to [-1, 1]: (900, 120)."""
    power = mel_power(window, 321, 120).astype(np.float64)
    decibel = 10 * np.log10(np.maximum(power, 1e-10) / max(power.max(), 1e-10))
    return ((np.maximum(decibel, -80.0) + 40) / 40).astype(np.float32)
