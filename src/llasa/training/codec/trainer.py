"""Codec trainer: reconstruction, adversarial and semantic losses (paper section 3.2).

One process or ``torchrun``. A run that was killed goes on with the very losses it would have had;
on a GPU as far as its kernels repeat themselves.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.base.errors import LlasaError
from llasa.codec.features import semantic_features
from llasa.codec.heads.harmonic import NOISES, HarmonicHead, PhaseState, Pitch, pitch_loss
from llasa.codec.layers import SemanticAdapter
from llasa.codec.model import CodecModel
from llasa.codec.snake import compile_snake
from llasa.data.manifest import Manifest
from llasa.training.auxiliary.phones import PhoneHead
from llasa.training.checkpoint import checkpoints, fitting, load_state, save_checkpoint
from llasa.training.codec.data import Reference, Segment, Segments, absent, missing_sentence
from llasa.training.codec.discriminators import Discriminators
from llasa.training.codec.losses import (
    MelLoss,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
    spread_loss,
)
from llasa.training.codec.perceptual import PerceptualLoss
from llasa.training.codec.prior import CodePrior
from llasa.training.codec.resample import hearing
from llasa.training.codec.settings import CodecTraining
from llasa.training.codec.setup import add_weight_norm, build_codec, check_data, save_codec
from llasa.training.codec.speakers import SpeakerLoss, in_other_voices
from llasa.training.codec.validation import validate
from llasa.training.log import Log, Values
from llasa.training.schedules import multiplier
from llasa.training.trainer import Trainer, Workers

UNKNOWN = 0.1
"""Share of segments whose speaker embedding the decoder does not get."""


class CodecTrainer(Trainer[Segment]):
    """State of one run: model, semantic decoder, discriminators, two optimizers."""

    def __init__(self, settings: CodecTraining) -> None:
        self.settings = settings
        self.workers = Workers()
        self.device = self.workers.device(settings.run.device)
        torch.manual_seed(settings.run.seed)
        model = build_codec(settings.codec, settings.init, settings.semantic_weights)
        self.model = model.to(self.device)
        if settings.weight_norm and not settings.freeze_encoder:
            add_weight_norm(self.model.acoustic)
        config = self.model.config
        self.semantic_decoder = SemanticAdapter(
            config.latent_size, config.semantic.size, config.relu_skip
        ).to(self.device)
        self.phone_head: nn.Module = nn.Identity()
        if settings.loss.phones:
            self.phone_head = PhoneHead(config.latent_size, len(settings.data.phones))
        self.phone_head.to(self.device)
        self.prior: nn.Module = nn.Identity()
        if settings.loss.prior:
            self.prior = CodePrior(len(settings.data.phones), len(config.levels)).to(self.device)
        self.discriminators = Discriminators(settings.discriminator).to(self.device)
        self.mel = MelLoss(
            config.output_rate, settings.loss.mel_windows, settings.loss.mel_bins
        ).to(self.device)
        self.hear = hearing(config).to(self.device)
        self.perceptual = None
        if settings.loss.perceptual and settings.loss.perceptual_model:
            self.perceptual = PerceptualLoss(settings.loss.perceptual_model).to(self.device)
        self.speaker: SpeakerLoss | None = None
        if settings.loss.voice:
            if not config.speaker_size:
                raise LlasaError(
                    "loss.voice needs a codec with speaker embeddings: set codec.speaker_size"
                )
            self.speaker = SpeakerLoss().to(self.device)
        self.model.semantic.requires_grad_(False).eval()
        if settings.freeze_encoder:
            model = self.model
            for part in (model.adapter, model.acoustic, model.fuse, model.quantizer):
                part.requires_grad_(False)
        parts = (self.model, self.semantic_decoder, self.phone_head, self.prior)
        generator = [p for part in parts for p in part.parameters()]
        self.generator = [p for p in generator if p.requires_grad]
        self.critic = list(self.discriminators.parameters())
        self.optimizers = [settings.optimizer.adamw(p) for p in (self.generator, self.critic)]
        self.data = Segments(
            settings.data,
            config.sample_rate,
            config.hop,
            settings.run.seed,
            pitch=settings.loss.prior > 0
            or (config.decoder_head == "harmonic" and settings.loss.audible),
            voices=config.speaker_size > 0 and settings.loss.audible,
            output_rate=config.output_rate,
            encode=self._encode if self._codes_stay else None,
        )
        check_data(settings, config, self.data.rates.to_spoken(self.data.length))
        if settings.run.compile:
            compile_snake(self.model)
        self.finished = 0
        self.average: CodecModel | None = None
        self._resume()
        self._check_clips()
        if self.finished == 0 and settings.init is None:
            self._spread_codes()
        for module in (*parts, self.discriminators):
            self.workers.share(module.parameters())
        if settings.ema and self.average is None:
            self.average = copy.deepcopy(self.model).eval()

    def _check_clips(self) -> None:
        """Refuse recordings that are missing; a run that has begun goes on without them."""
        data = self.settings.data
        self.data.check(self.finished > 0)
        if data.valid and not self.finished:
            missing = absent(list(Manifest(data.valid).read(0, data.valid_clips)))
            if missing:
                raise LlasaError(missing_sentence(missing, "data.valid"))

    @property
    def lost(self) -> Mapping[str, str]:
        return self.data.lost

    def _resume(self) -> None:
        found = checkpoints(Path(self.settings.run.out))
        if not found:
            return
        self.finished, folder = found[-1]
        state = load_state(folder)
        with fitting(folder):
            self.model.load_state_dict(state["model"])
            self.semantic_decoder.load_state_dict(state["semantic_decoder"])
            self.phone_head.load_state_dict(state["phone_head"])
            self.prior.load_state_dict(state.get("prior", {}))
            self.discriminators.load_state_dict(state["discriminators"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            if self.settings.ema and "average" in state:
                self.average = copy.deepcopy(self.model).eval()
                self.average.load_state_dict(state["average"])

    @torch.no_grad()
    def _spread_codes(self) -> None:
        """Scale the quantiser's input to unit variance on the first batch.

        Random weights leave it near zero, where all frames share one code and the straight-through
        gradient teaches nothing; with unit variance every level is in use from the first step.
        """
        first = self.data.batch(0, 0, self.workers.world).samples.to(self.device)
        project = self.model.quantizer.project_in
        z = project(self.model.latents(first)).flatten(0, 1)
        scale = 1 / z.std(0).clamp_min(1e-6)
        project.bias.copy_((project.bias - z.mean(0)) * scale)
        project.weight.mul_(scale[:, None])

    def _save(self) -> None:
        if self.workers.rank == 0:
            state = {
                "model": self.model.state_dict(),
                "semantic_decoder": self.semantic_decoder.state_dict(),
                "phone_head": self.phone_head.state_dict(),
                "prior": self.prior.state_dict(),
                "discriminators": self.discriminators.state_dict(),
                "optimizers": [o.state_dict() for o in self.optimizers],
            }
            if self.average is not None:
                state["average"] = self.average.state_dict()
            run, model = self.settings.run, self.evaluated()
            save_checkpoint(
                Path(run.out), self.finished, state, lambda to: save_codec(model, to), run.keep
            )
        self.workers.barrier()

    def evaluated(self) -> CodecModel:
        """The network that is validated and shipped: the average if there is one."""
        return self.average if self.average is not None else self.model

    def _batch(self, step: int) -> Segment:
        return self.data.batch(step, self.workers.rank, self.workers.world)

    def _step(self, batch: Segment) -> Values:
        step, settings, run = self.finished, self.settings, self.settings.run
        # Dropout, too, must repeat after a restart.
        seeds = np.random.SeedSequence((run.seed, step, self.workers.rank))
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        rate = settings.optimizer.rate * multiplier(settings.schedule, step, run.steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        batch = batch.to(self.device)
        target, reference = batch.target, batch.reference
        self.model.train()
        self.model.semantic.eval()
        playing = step >= settings.loss.adversarial_from and settings.loss.adversarial > 0
        losses: Values = {}
        # One autocast for each forward: it keeps casts of the weights that an update outdates.
        with self._precision():
            meaning, quantised, latents, codes = self._codes(batch)
            fake, off, embedding = target, None, None
            if settings.loss.audible:
                embedding = self._embedding(reference)
                fake, off = self._sound(quantised, batch.pitch, self._partly_unknown(embedding))
        if playing:
            losses |= self._critic_step(target, fake.detach())
        with self._precision():
            loss = self._code_loss(quantised, meaning, batch.phones, losses)
            if settings.loss.prior and batch.pitch is not None and latents is not None:
                with torch.set_grad_enabled(self._encoder_learns):
                    bounded = self.model.quantizer.bounded(latents)
                losses["prior"] = self.prior(bounded, batch.phones, batch.pitch)
                loss = loss + settings.loss.prior * losses["prior"]
            if settings.loss.audible:
                loss = loss + self._generator_loss(batch, fake, meaning, losses, playing)
            if self.speaker and embedding is not None and reference is not None:
                assert meaning is not None
                half = slice(0, max(1, len(target) // 2))
                other = Reference(*(part.roll(1, 0)[half] for part in reference))
                parts = (quantised[half], meaning[half], embedding.roll(1, 0)[half], other)
                said = in_other_voices(self.model, self.speaker, self.hear, *parts)
                losses |= said
                weights = settings.loss
                loss = loss + weights.voice * said["voice"] + weights.perceptual * said["said"]
                loss = loss + weights.pitch * said["level"]
        if off is not None:
            losses["pitch"] = off
            loss = loss + settings.loss.pitch * off
        if settings.loss.spread and latents is not None and self._encoder_learns:
            losses["spread"] = spread_loss(self.model.quantizer.project_in(latents.float()))
            loss = loss + settings.loss.spread * losses["spread"]
        losses["grad_norm"] = self._update(0, self.generator, loss)
        if self.average is not None:
            self._update_average()
        used = torch.unique(codes).numel() / min(self.model.config.codebook_size, codes.numel())
        return {"loss": loss, **losses, "code_use": used, "rate": rate}

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.run.bf16)

    @property
    def _encoder_learns(self) -> bool:
        """Whether this step changes the codes."""
        return not self.settings.freeze_encoder and self.finished >= self.settings.encoder_from

    @property
    def _codes_stay(self) -> bool:
        """Whether a clip has the same codes whenever it is heard."""
        return self.settings.freeze_encoder and not self.settings.data.disguise

    @torch.no_grad()
    def _encode(self, samples: NDArray[np.float32]) -> NDArray[np.int64]:
        """Codes of a whole clip."""
        return self.model.encode(torch.from_numpy(samples)[None].to(self.device))[0].cpu().numpy()

    def _codes(self, batch: Segment) -> tuple[Tensor | None, Tensor, Tensor | None, Tensor]:
        """Semantic features, quantised and bare latents, codes (these of what is disguised).

        Where the codes are known there are no bare latents, and features only for their losses.
        """
        weights, quantizer = self.settings.loss, self.model.quantizer
        real, disguised, known = batch.samples, batch.disguised, batch.codes
        with torch.no_grad():
            if known is not None:
                own = weights.perceptual and self.perceptual is None
                asked = weights.semantic or weights.voice or own
                with torch.autocast(self.device.type, enabled=False):
                    quantised = quantizer.lookup(known)
                return self._semantic(real) if asked else None, quantised, None, known
            heard = target = self._semantic(real)
            if disguised is not None:
                heard = self._semantic(disguised)
        with torch.set_grad_enabled(self._encoder_learns):
            latents = self.model.latents(real if disguised is None else disguised, heard)
            quantised, codes = quantizer(latents)
        return target, quantised, latents, codes

    def _embedding(self, reference: Reference | None) -> Tensor | None:
        """The voice of each reference."""
        if self.model.speaker_encoder is None:
            return None
        if reference is None:
            raise LlasaError(
                "this training audio comes without references of its speakers, which a codec with "
                "speaker_size needs; use 'llasa train codec'"
            )
        embedding: Tensor = self.model.speaker_encoder(reference.samples)
        return embedding

    @staticmethod
    def _partly_unknown(embedding: Tensor | None) -> Tensor | None:
        """Nothing in place of some: codes alone, too, are to be heard."""
        if embedding is None:
            return None
        return embedding * (torch.rand(len(embedding), 1, device=embedding.device) >= UNKNOWN)

    def _sound(
        self, quantised: Tensor, pitch: Pitch | None, embedding: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Waveform made from the codes, and how far their pitch is off if the head says one.

        The waveform has the pitch of the recording: at another, its harmonics would be compared
        with what lies between those of the recording.
        """
        decoder = self.model.decoder
        if not isinstance(decoder.head, HarmonicHead):
            return decoder(quantised, embedding), None
        if pitch is None:
            raise LlasaError(
                "this training audio comes without its pitch, which decoder_head 'harmonic' needs; "
                "use 'llasa train codec' or decoder_head 'istft'"
            )
        spectra = decoder.head.spectra(decoder.hidden(quantised, embedding))
        begun = PhaseState(int(torch.randint(NOISES, ())))  # another noise each time
        waveform, _ = decoder.head.render(spectra, pitch, phase=begun)
        return waveform, pitch_loss(spectra, pitch)

    def _code_loss(
        self, quantised: Tensor, meaning: Tensor | None, phones: Tensor, losses: Values
    ) -> Tensor:
        """What the codes say about meaning, all together, and about phones, each alone."""
        weights = self.settings.loss
        loss = quantised.new_zeros(())
        if meaning is not None:
            predicted = self.semantic_decoder(quantised.transpose(1, 2)).transpose(1, 2)
            losses["semantic"] = F.mse_loss(predicted.float(), meaning.float())
            loss = weights.semantic * losses["semantic"]
        if weights.phones:
            losses["phones"] = self.phone_head(quantised, phones)
            loss = loss + weights.phones * losses["phones"]
        return loss

    def _semantic(self, audio: Tensor) -> Tensor:
        features: Tensor = self.model.semantic(semantic_features(audio, self.model.config.hop))
        return features

    def _generator_loss(
        self, batch: Segment, fake: Tensor, meaning: Tensor | None, losses: Values, playing: bool
    ) -> Tensor:
        weights, target = self.settings.loss, batch.target
        mel = self.mel(fake, target)
        losses["mel"] = mel
        loss: Tensor = weights.mel * mel
        if playing:
            with torch.no_grad():
                real_maps = self.discriminators(target)
            self.discriminators.requires_grad_(False)  # this gradient is the generator's alone
            fake_maps = self.discriminators(fake)
            self.discriminators.requires_grad_(True)
            adversarial = adversarial_loss([m[-1] for m in fake_maps])
            matching = feature_matching_loss(real_maps, fake_maps)
            losses |= {"adversarial": adversarial, "matching": matching}
            loss = loss + weights.adversarial * adversarial + weights.feature_matching * matching
        if weights.perceptual:
            heard = self.hear(fake)
            if self.perceptual is not None:
                perceptual = self.perceptual(heard, batch.samples)
            else:
                assert meaning is not None
                perceptual = F.mse_loss(self._semantic(heard).float(), meaning.float())
            losses["perceptual"] = perceptual
            loss = loss + weights.perceptual * perceptual
        return loss

    def _critic_step(self, real: Tensor, fake: Tensor) -> Values:
        with self._precision():
            real_scores = [m[-1] for m in self.discriminators(real)]
            fake_scores = [m[-1] for m in self.discriminators(fake)]
            loss = discriminator_loss(real_scores, fake_scores)
        return {"discriminator": loss, "critic_grad_norm": self._update(1, self.critic, loss)}

    def _update(self, side: int, parameters: list[nn.Parameter], loss: Tensor) -> Tensor:
        """One optimizer step; returns the norm of the gradient before it is clipped."""
        self.optimizers[side].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.workers.mean_gradients(parameters)
        norm = nn.utils.clip_grad_norm_(parameters, self.settings.optimizer.clip)
        self.optimizers[side].step()
        return norm

    def _update_average(self) -> None:
        assert self.average is not None
        decay = min(self.settings.ema, (self.finished + 1) / (self.finished + 10))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)

    def _evaluate(self, log: Log) -> None:
        data = self.settings.data
        if data.valid is None or self.workers.rank:
            return
        model = self.evaluated().eval()
        scores, samples = validate(
            model, Path(data.valid), data.valid_clips, self.mel, self.data.lost
        )
        log.write(self.finished, {f"valid/{name}": value for name, value in scores.items()})
        for name, audio in samples.items():
            log.audio(self.finished, name, audio, model.config.output_rate)


def train_codec(settings: CodecTraining) -> None:
    """Train or go on training; see ``CodecTraining``."""
    CodecTrainer(settings).train()
