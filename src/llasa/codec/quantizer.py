"""Finite scalar quantisation (Mentzer et al. 2023), as X-codec2 uses it: one codebook."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPS = 1e-3


class FSQ(nn.Module):
    """Project to a few dimensions, round each to its levels, project back.

    Args:
        size: width of the latent that goes in and comes out.
        levels: number of values of each dimension; the codebook holds their product.
        double_bound: bound twice, as the released weights expect (ResidualFSQ then FSQ).
    """

    def __init__(self, size: int, levels: tuple[int, ...], double_bound: bool = True) -> None:
        super().__init__()
        self.levels = levels
        self.double_bound = double_bound
        self.project_in = nn.Linear(size, len(levels))
        self.project_out = nn.Linear(len(levels), size)
        # On the CPU even where the weights are made on "meta", as no file fills these.
        counts = torch.tensor(levels, dtype=torch.float32, device="cpu")
        basis = torch.cumprod(torch.tensor((1, *levels[:-1]), device="cpu"), 0)
        self.register_buffer("counts", counts, persistent=False)
        self.register_buffer("basis", basis, persistent=False)
        self.counts: Tensor
        self.basis: Tensor

    def bound(self, z: Tensor) -> Tensor:
        """Squash to the open interval that rounds to exactly ``levels`` integers."""
        half = (self.counts - 1) * (1 + EPS) / 2
        offset = torch.where(self.counts % 2 == 0, 0.5, 0.0)
        return (z + torch.atanh(offset / half)).tanh() * half - offset

    def bounded(self, latent: Tensor) -> Tensor:
        """What is rounded, in levels: (batch, frames, size) to (batch, frames, dimensions)."""
        with torch.autocast(latent.device.type, enabled=False):
            bounded = self.bound(self.project_in(latent.float()))
            return self.bound(bounded) if self.double_bound else bounded

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Quantise (batch, frames, size) with a straight-through gradient, always in float32.

        Returns the quantised latent, of the same shape, and its codes (batch, frames), int64.
        """
        with torch.autocast(latent.device.type, enabled=False):
            bounded = self.bounded(latent)
            rounded = bounded + (bounded.round() - bounded).detach()
            values = rounded / (self.counts // 2)
            return self.project_out(values), self._codes(rounded)

    def _codes(self, rounded: Tensor) -> Tensor:
        digits = rounded.detach().round().long() + (self.counts // 2).long()
        return (digits * self.basis).sum(-1)

    def values(self, codes: Tensor) -> Tensor:
        """Codes (…) to their grid points (…, dimensions) in [-1, 1)."""
        digits = codes.unsqueeze(-1) // self.basis % self.counts.long()
        return digits / (self.counts // 2) - 1

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes (batch, frames) to latents (batch, frames, size)."""
        return self.project_out(self.values(codes))
