"""UTMOS (arXiv 2204.02152), the strong learner, as SpeechMOS published it: wav2vec 2.0 and an LSTM.

`utmos22_strong_step7459_v1.pt` of tarepan/SpeechMOS. Written from its description; strict about the
names and shapes of the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from llasa.audio.audio import Samples
from llasa.base.errors import LlasaError
from llasa.base.hub import find_checkpoint
from llasa.verifiers.base import Candidate, Scores, speech
from llasa.verifiers.inference import LazyModel, in_groups
from llasa.verifiers.weights import fill, from_fairseq, part_of, read_state

ENCODER = "wav2vec2."


class UTMOS(LazyModel):
    """Predicted opinion score of a whole clip, 1 to 5.

    `source`: the checkpoint (a file, a folder with it alone, or a hub id).
    """

    family = "utmos"
    needs = frozenset({"audio"})
    shortest = 0.1

    def __init__(self, source: str, device: str | None = None) -> None:
        super().__init__(source, device)
        self.name = f"utmos:{source}"

    @cached_property
    def model(self) -> tuple[Any, OpinionHead]:
        """The encoder, and what predicts from its last layer."""
        path = find_checkpoint(str(self.source))
        state = read_state(path)
        encoder = from_fairseq(part_of(state, ENCODER), path).to(self.device)
        rest = {k: v for k, v in state.items() if not k.startswith(ENCODER)}
        try:
            gates, width = rest["blstm.weight_ih_l0"].shape
            head = OpinionHead(gates // 4, width, len(rest["projection.0.bias"]))
        except KeyError as error:
            raise LlasaError(f"{path} holds the weights of another network: no {error}.") from error
        return encoder, fill(head, rest, path, self.device)

    def score(self, batch: Sequence[Candidate], /) -> Scores:
        """Opinion scores; clips of equal length are run together."""
        return np.array(in_groups([speech(c.audio) for c in batch], len, self._run), np.float64)

    def _run(self, clips: Sequence[Samples]) -> list[float]:
        encoder, head = self.model
        with torch.inference_mode():
            audio = torch.from_numpy(np.stack(clips)).to(self.device)
            return [float(x) for x in head(encoder(audio).last_hidden_state)]


class OpinionHead(nn.Module):
    """Frames (batch, frames, size) to scores (batch,), for the first listener and data set."""

    def __init__(self, size: int, width: int, hidden: int) -> None:
        super().__init__()
        self.domain_emb, self.judge_emb = (nn.Parameter(torch.zeros(1, 128)) for _ in range(2))
        self.blstm = nn.LSTM(width, size, batch_first=True, bidirectional=True)
        self.projection = nn.Sequential(
            nn.Linear(2 * size, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, frames: Tensor) -> Tensor:
        kinds = torch.cat([self.domain_emb, self.judge_emb], 1)
        kinds = kinds.expand(*frames.shape[:2], -1)
        scores = self.projection(self.blstm(torch.cat([frames, kinds], 2))[0])
        return scores.mean(1)[:, 0] * 2 + 3
