"""Paraformer (arXiv 2206.08317) as FunASR exports it to ONNX: the paper's ears for Chinese."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Samples
from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import read_bytes
from llasa.base.hub import find_folder
from llasa.base.packages import onnx
from llasa.verifiers.asr.base import Transcript, in_pieces
from llasa.verifiers.base import RATE
from llasa.verifiers.inference import LazyModel

GRAPHS = ("model.onnx", "model_quant.onnx")
TOKENS, STATISTICS = "tokens.json", "am.mvn"
STACKED, EVERY = 7, 6
"""Frames that are stacked, and how many frames lie between two stacks."""
LONGEST, SHORTEST = 20.0, 0.1
BLANK, END = 0, 2

Frames = NDArray[np.float32]


class Paraformer(LazyModel):
    """Transcripts in one pass, without a language model.

    `source`: a folder (or hub id) with `model.onnx` or `model_quant.onnx`, `tokens.json` and
    `am.mvn`, such as funasr/paraformer-zh exported with FunASR. `language`: of the speech.
    """

    family = "paraformer"

    def __init__(self, source: str | Path, language: str = "zh") -> None:
        super().__init__(source)
        self.language, self.name = language, f"paraformer:{source}"

    @cached_property
    def model(self) -> tuple[Any, list[str], Frames]:
        """The graph, its tokens, and the shift and scale of features (2, 560)."""
        folder = find_folder(str(self.source), ("*.onnx", TOKENS, STATISTICS))
        graph = next((folder / name for name in GRAPHS if (folder / name).is_file()), None)
        if graph is None:
            raise LlasaError(
                f"{folder} isn't an exported Paraformer: it has neither {' nor '.join(GRAPHS)}."
            )
        try:
            found = jsonl.parse(read_bytes(folder / TOKENS), f"{folder / TOKENS} is damaged")
            tokens = [str(token) for token in found]
            return onnx(graph), tokens, read_statistics((folder / STATISTICS).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise LlasaError(f"{folder} isn't an exported Paraformer: {error}.") from error

    def transcribe(self, clips: Sequence[Samples]) -> list[Transcript]:
        """One transcript a clip of 16 kHz speech."""
        return in_pieces(clips, LONGEST, lambda short: [self._decode(clip) for clip in short])

    def _decode(self, clip: Samples) -> Transcript:
        graph, tokens, (shift, scale) = self.model
        clip = np.pad(clip, (0, max(0, round(SHORTEST * RATE) - len(clip))))
        frames = (stacked(hamming_fbank(clip)) + shift) * scale
        count = np.array([len(frames)], np.int32)
        names = [entry.name for entry in graph.get_inputs()]
        feeds = dict(zip(names, (frames[None].astype(np.float32), count), strict=True))
        scores, lengths, *_ = graph.run(None, feeds)
        scores = scores[0, : max(0, int(lengths[0]) - 1)].astype(np.float64)
        if not len(scores):
            return Transcript("", 0.0)
        scores -= scores.max(1, keepdims=True)
        sure = -np.log(np.exp(scores).sum(1))
        best = [int(n) for n in scores.argmax(1) if n not in (BLANK, END)]
        return Transcript(joined([tokens[n] for n in best]), float(sure.mean()))


def hamming_fbank(clip: Samples) -> Frames:
    """Kaldi's filter banks with a Hamming window: (frames, 80)."""
    import torch

    from llasa.codec.features import fbank

    found = fbank(torch.from_numpy(clip)[None], "hamming")[0].numpy()
    return np.asarray(found, np.float32)


def stacked(frames: Frames) -> Frames:
    """Low frame rate: 7 frames at every sixth one, the ends repeated; (frames, 560)."""
    count, before = -(-len(frames) // EVERY), (STACKED - 1) // 2
    padded = np.pad(frames, ((before, EVERY * count + STACKED), (0, 0)), mode="edge")
    starts = np.arange(count) * EVERY
    return np.stack([padded[start : start + STACKED].reshape(-1) for start in starts])


def read_statistics(text: str) -> Frames:
    """Shift and scale of an `am.mvn` of Kaldi: (2, 560)."""
    found = [
        np.array(numbers.split(), np.float32)
        for numbers in re.findall(r"<LearnRateCoef>\s+0\s+\[([^\]]*)\]", text)
    ]
    if len(found) != 2 or len(found[0]) != len(found[1]):
        raise ValueError(f"its {STATISTICS} has no shift and scale")
    return np.stack(found)


def joined(tokens: Sequence[str]) -> str:
    """Tokens as text: `@@` joins pieces of a word, and spaces stand only around letters."""
    text = ""
    for token in tokens:
        latin = token.removesuffix("@@").isascii()
        text += token.removesuffix("@@") + (" " if latin and not token.endswith("@@") else "")
    return re.sub(r"(?<=[^\x00-\x7f])(?=[\x21-\x7e])", " ", text).strip()
