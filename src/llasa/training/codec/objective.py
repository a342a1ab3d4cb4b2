"""What the codec learns: all its losses by name, and how each is weighted (paper section 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.base.errors import LlasaError
from llasa.codec.features import semantic_features
from llasa.codec.heads.harmonic import (
    NOISES,
    HarmonicHead,
    Pitch,
    Spectra,
)
from llasa.codec.layers import SemanticAdapter
from llasa.codec.model import CodecModel
from llasa.codec.protocol import PhaseState
from llasa.training.auxiliary.phones import PhoneHead
from llasa.training.codec.data import Reference, Segment
from llasa.training.codec.discriminators import Discriminators
from llasa.training.codec.losses import (
    MelLoss,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
    mean_f0_loss,
    pitch_loss,
    spread_loss,
)
from llasa.training.codec.perceptual import PerceptualLoss
from llasa.training.codec.prior import CodePrior
from llasa.training.codec.resample import to_input_rate
from llasa.training.codec.settings import CodecTraining
from llasa.training.codec.speakers import SpeakerLoss

LossTerms = dict[str, Tensor]
UNKNOWN = 0.1
"""Share of segments for which the decoder gets no speaker embedding."""
WEIGHTS = {
    "semantic": "semantic",
    "phones": "phones",
    "prior": "prior",
    "mel": "mel",
    "adversarial": "adversarial",
    "matching": "feature_matching",
    "perceptual": "perceptual",
    "voice": "voice",
    "voice_semantic": "perceptual",
    "voice_f0": "pitch",
    "pitch": "pitch",
    "spread": "spread",
}
"""The weight in ``CodecLossSettings`` of each loss of the codec."""


class Encoded(NamedTuple):
    """Output of the encoder."""

    semantic: Tensor | None
    """Semantic features of the recording, where a loss needs them."""
    quantised: Tensor
    latents: Tensor | None
    """Before the quantiser; None where the codes were known."""
    codes: Tensor


class Decoded(NamedTuple):
    """Output of the decoder."""

    waveform: Tensor
    spectra: Spectra | None
    """Of a harmonic head."""
    speaker: Tensor | None
    """Embedding of each reference."""


class CodecObjective(nn.Module):
    """The codec with its auxiliary networks and all losses.

    A step is ``encode``, ``decode``, ``discriminator_loss`` of the result, and ``losses``.
    """

    def __init__(self, model: CodecModel, settings: CodecTraining) -> None:
        super().__init__()
        self.model, self.settings = model, settings
        config, weights, phones = model.config, settings.loss, len(settings.data.phones)
        self.semantic_decoder = SemanticAdapter(
            config.latent_size, config.semantic.size, config.relu_skip
        )
        self.phone_head = PhoneHead(config.latent_size, phones) if weights.phones else nn.Identity()
        self.prior = CodePrior(phones, len(config.levels)) if weights.prior else nn.Identity()
        self.discriminators = Discriminators(settings.discriminator)
        self.mel = MelLoss(config.output_rate, weights.mel_windows, weights.mel_bins)
        self.to_input_rate = to_input_rate(config)
        self.perceptual: PerceptualLoss | None = None
        if weights.perceptual and weights.perceptual_model:
            self.perceptual = PerceptualLoss(weights.perceptual_model)
        self.speaker: SpeakerLoss | None = None
        if weights.voice:
            if not config.speaker_size:
                raise LlasaError(
                    "Setting loss.voice needs a codec with speaker embeddings: set "
                    "codec.speaker_size."
                )
            self.speaker = SpeakerLoss()

    def generator(self) -> list[nn.Parameter]:
        """All trained parameters except those of the discriminators."""
        parts = (self.model, self.semantic_decoder, self.phone_head, self.prior)
        return [p for part in parts for p in part.parameters() if p.requires_grad]

    def encoder_learns(self, step: int) -> bool:
        """Whether the step changes the codes."""
        return not self.settings.freeze_encoder and step >= self.settings.encoder_from

    def adversarial(self, step: int) -> bool:
        """Whether the discriminators take part in the step."""
        weights = self.settings.loss
        return weights.adversarial > 0 and step >= weights.adversarial_from

    def encode(self, batch: Segment, step: int) -> Encoded:
        """Codes of a batch: those it comes with, else those of its (perturbed) input."""
        quantizer, perturbed = self.model.quantizer, batch.perturbed
        with torch.no_grad():
            if batch.codes is not None:
                semantic = self._semantic(batch.samples) if self._needs_semantic else None
                with torch.autocast(batch.codes.device.type, enabled=False):
                    return Encoded(semantic, quantizer.lookup(batch.codes), None, batch.codes)
            semantic = own = self._semantic(batch.samples)
            if perturbed is not None:
                own = self._semantic(perturbed)
        with torch.set_grad_enabled(self.encoder_learns(step)):
            latents = self.model.latents(batch.samples if perturbed is None else perturbed, own)
            quantised, codes = quantizer(latents)
        return Encoded(semantic, quantised, latents, codes)

    def decode(self, encoded: Encoded, batch: Segment) -> Decoded | None:
        """The waveform, unless no loss needs one. A harmonic head renders it at the pitch of the
        recording; at another pitch its harmonics would not line up with those of the recording.
        """
        if not self.settings.loss.audible:
            return None
        decoder, speaker = self.model.decoder, self._speaker(batch.reference)
        known = speaker
        if speaker is not None:  # codes have to sound without an embedding, too
            known = speaker * (torch.rand(len(speaker), 1, device=speaker.device) >= UNKNOWN)
        if not isinstance(decoder.head, HarmonicHead):
            return Decoded(decoder(encoded.quantised, known), None, speaker)
        if batch.pitch is None:
            raise LlasaError(
                "This training audio comes without its pitch, which decoder_head 'harmonic' needs. "
                "Use 'llasa train codec' or decoder_head 'istft'."
            )
        spectra = decoder.head.spectra(decoder.hidden(encoded.quantised, known))
        start = PhaseState(int(torch.randint(NOISES, ())))  # another noise each time
        waveform, _ = decoder.head.render(spectra, batch.pitch, phase=start)
        return Decoded(waveform, spectra, speaker)

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminators' loss for real and generated waveforms."""
        real_scores, fake_scores = (
            [maps[-1] for maps in self.discriminators(sound)] for sound in (real, fake.detach())
        )
        return discriminator_loss(real_scores, fake_scores)

    def losses(
        self, batch: Segment, encoded: Encoded, decoded: Decoded | None, step: int
    ) -> tuple[Tensor, LossTerms]:
        """The weighted sum of the codec's losses, and each loss by its name in ``WEIGHTS``."""
        found = self._code_losses(batch, encoded, step)
        if decoded is not None:
            found |= self._sound_losses(batch, encoded, decoded, step)
        if self.settings.loss.spread and encoded.latents is not None and self.encoder_learns(step):
            inputs = self.model.quantizer.project_in(encoded.latents.float())
            found["spread"] = spread_loss(inputs)
        weighted = (getattr(self.settings.loss, WEIGHTS[k]) * loss for k, loss in found.items())
        return sum(weighted, encoded.quantised.new_zeros(())), found

    def _code_losses(self, batch: Segment, encoded: Encoded, step: int) -> LossTerms:
        """Losses on the codes: semantic features, phones, and the prior that predicts them."""
        weights, found = self.settings.loss, LossTerms()
        if weights.semantic and encoded.semantic is not None:
            predicted = self.semantic_decoder(encoded.quantised.transpose(1, 2)).transpose(1, 2)
            found["semantic"] = F.mse_loss(predicted.float(), encoded.semantic.float())
        if weights.phones:
            found["phones"] = self.phone_head(encoded.quantised, batch.phones)
        if weights.prior and batch.pitch is not None and encoded.latents is not None:
            with torch.set_grad_enabled(self.encoder_learns(step)):
                bounded = self.model.quantizer.bounded(encoded.latents)
            found["prior"] = self.prior(bounded, batch.phones, batch.pitch)
        return found

    def _sound_losses(
        self, batch: Segment, encoded: Encoded, decoded: Decoded, step: int
    ) -> LossTerms:
        """Losses on the waveform: against the recording, and with swapped voices."""
        weights, fake = self.settings.loss, decoded.waveform
        found = {"mel": self.mel(fake, batch.target)}
        if self.adversarial(step):
            with torch.no_grad():
                real_maps = self.discriminators(batch.target)
            self.discriminators.requires_grad_(False)  # this gradient is the generator's alone
            fake_maps = self.discriminators(fake)
            self.discriminators.requires_grad_(True)
            found["adversarial"] = adversarial_loss([maps[-1] for maps in fake_maps])
            found["matching"] = feature_matching_loss(real_maps, fake_maps)
        if weights.perceptual and step >= weights.perceptual_from:
            sound = self.to_input_rate(fake)
            if self.perceptual is not None:
                found["perceptual"] = self.perceptual(sound, batch.samples)
            else:
                found["perceptual"] = self._semantic_distance(sound, encoded.semantic)
        if self.speaker is not None and decoded.speaker is not None:
            found |= self._voice_losses(batch, encoded, decoded.speaker)
        if decoded.spectra is not None and batch.pitch is not None:
            found["pitch"] = pitch_loss(decoded.spectra, batch.pitch)
        return found

    def _voice_losses(self, batch: Segment, encoded: Encoded, speaker: Tensor) -> LossTerms:
        """Losses of half the segments decoded with another segment's speaker embedding: the
        speaker, the mean pitch (with a harmonic head), and the content by semantic features. There
        is no recording to compare with, so the decoder predicts the pitch itself.
        """
        assert batch.reference is not None
        assert encoded.semantic is not None
        assert self.speaker is not None
        half = slice(0, max(1, len(batch.samples) // 2))
        wanted = Reference(*(part.roll(1, 0)[half] for part in batch.reference))
        decoder, found = self.model.decoder, LossTerms()
        hidden = decoder.hidden(encoded.quantised[half], speaker.roll(1, 0)[half])
        if isinstance(decoder.head, HarmonicHead):
            spectra = decoder.head.spectra(hidden)
            own = Pitch(*(part.detach() for part in spectra.pitch()))
            fake, _ = decoder.head.render(spectra, own)
            found["voice_f0"] = mean_f0_loss(spectra, wanted.log_f0)
        else:
            fake = decoder.head(hidden)
        sound = self.to_input_rate(fake)
        found["voice_semantic"] = self._semantic_distance(sound, encoded.semantic[half])
        found["voice"] = self.speaker(sound, wanted.samples)
        return found

    def _speaker(self, reference: Reference | None) -> Tensor | None:
        """Embedding of the speaker of each reference, for a decoder that takes one."""
        if self.model.speaker_encoder is None:
            return None
        if reference is None:
            raise LlasaError(
                "This training audio comes without references of its speakers, which a codec with "
                "speaker_size needs. Use 'llasa train codec'."
            )
        embedding: Tensor = self.model.speaker_encoder(reference.samples)
        return embedding

    @property
    def _needs_semantic(self) -> bool:
        weights = self.settings.loss
        own = weights.perceptual and self.perceptual is None
        return bool(weights.semantic or weights.voice or own)

    def _semantic(self, audio: Tensor) -> Tensor:
        features: Tensor = self.model.semantic(
            semantic_features(audio, self.model.config.input_hop)
        )
        return features

    def _semantic_distance(self, audio: Tensor, wanted: Tensor | None) -> Tensor:
        assert wanted is not None
        return F.mse_loss(self._semantic(audio).float(), wanted.float())
