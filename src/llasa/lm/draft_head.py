"""A small network that drafts tokens from the model's last state, and its file.

From the state that chose the newest token, and that token's embedding, it makes the state that the
model would have next, and so on from its own (as Hydra, Ankner et al. 2024, and EAGLE, Li et al.
2024, do; not in the paper). Tokens are read off by the model's own output layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.base.errors import LlasaError
from llasa.base.weights import check_finite, read_tensors, weights_to_save, write_checkpoint
from llasa.lm.decoder import Decoder
from llasa.lm.engine import Generation
from llasa.lm.linear import Linear, pack_linear

MOST = 1
"""Tokens of a draft; on `nano` more cost more than they bring (see docs/results/decoding.md)."""
_EPS = 1e-3


class DraftHead(nn.Module):
    """The next state (N, D) from a state (N, D) and the embedding (N, D) of the token it chose.

    A gated layer of ``inner`` units, and a linear path beside it.
    """

    def __init__(self, size: int, inner: int) -> None:
        super().__init__()
        self.size, self.inner = size, inner
        self.into = nn.Linear(2 * size, 2 * inner + size, bias=False)
        self.out = nn.Linear(inner, size, bias=False)

    def forward(self, state: Tensor, embedding: Tensor) -> Tensor:
        return combine(joined(state, embedding), self.into, self.out, self.inner)


def joined(state: Tensor, embedding: Tensor) -> Tensor:
    """What the network takes: both, each with a mean square of 1, side by side (N, 2 D)."""
    both = torch.stack((state, embedding), -2).float()
    # By the Euclidean norm, as F.rms_norm takes longer on CPUs.
    size = torch.linalg.vector_norm(both, dim=-1, keepdim=True).clamp_min(_EPS)
    return (both * (math.sqrt(state.shape[-1]) / size)).flatten(-2)


def combine(x: Tensor, into: Linear, out: Linear, inner: int) -> Tensor:
    """The network on what `joined` returned, with its two products as functions."""
    gate, up, straight = into(x).split((inner, inner, x.shape[-1] // 2), -1)
    y: Tensor = straight + out(F.silu(gate) * up)
    return y


class HeadDrafter:
    """Drafts by a ``DraftHead``, for the decoder and the ids that an engine chooses from."""

    def __init__(
        self,
        head: DraftHead,
        decoder: Decoder,
        columns: Sequence[int],
        most: int = MOST,
    ) -> None:
        if head.size != decoder.config.hidden_size:
            raise LlasaError(
                f"The draft head is made for states of {head.size} numbers, but the language model "
                f"has {decoder.config.hidden_size}: train one with llasa train draft."
            )
        self._decoder, self._columns = decoder, columns
        self._into, self._out = (
            pack_linear(part.weight.detach().to(decoder.device, decoder.dtype))
            for part in (head.into, head.out)
        )
        self._inner = head.inner
        self.most = most
        """Tokens of a draft at most."""

    @torch.inference_mode()
    def draft(self, generation: Generation, state: Tensor | None, most: int) -> Sequence[int]:
        """The likeliest tokens, one after another (see ``Drafter.draft``)."""
        found: list[int] = []
        token = generation.last
        while state is not None and len(found) < min(most, self.most):
            x = joined(state, self._decoder.embedding[token : token + 1])
            state = combine(x.to(self._decoder.dtype), self._into, self._out, self._inner)
            token = self._columns[int(self._decoder.logits(state).argmax())]
            found.append(token)
        return found


def save_draft_head(head: DraftHead, path: Path) -> None:
    """Write the weights, in float16; whole or not at all."""
    write_checkpoint(path.parent, weights_to_save(head, half=True), {}, path.name)


def load_draft_head(path: Path) -> DraftHead:
    """Read what `save_draft_head` wrote; `LlasaError` where it is damaged or something else."""
    state = {name: tensor.float() for name, tensor in read_tensors(path)}
    check_finite(state, str(path))
    try:
        inner, size = state["out.weight"].t().shape
        head = DraftHead(size, inner)
        head.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError) as error:
        raise LlasaError(
            f"{path} is not a draft head: train one with llasa train draft, or remove the file."
        ) from error
    return head
