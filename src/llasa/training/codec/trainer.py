"""Codec trainer: reconstruction, adversarial and semantic losses (paper section 3.2).

One process or ``torchrun``. A killed run resumes with exactly the losses it would have had; on a
GPU as far as its kernels are deterministic.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llasa.base.errors import LlasaError
from llasa.codec.model import CodecModel
from llasa.codec.snake import compile_snake
from llasa.data.manifest import Manifest
from llasa.training.checkpoint import checkpoints, fitting, load_state
from llasa.training.codec.data import Segment, Segments
from llasa.training.codec.objective import CodecObjective
from llasa.training.codec.recordings import absent, missing_sentence
from llasa.training.codec.settings import CodecTraining
from llasa.training.codec.setup import (
    build_codec,
    check_settings,
    load_discriminators,
    prepare,
    save_codec,
)
from llasa.training.codec.validation import validate
from llasa.training.gradient_mean import GradientMean
from llasa.training.log import Log, Values
from llasa.training.trainer import Trainer
from llasa.training.workers import Workers


class CodecTrainer(Trainer[Segment]):
    """One run: the objective with the codec, two optimizers, and averaged weights."""

    def __init__(self, settings: CodecTraining) -> None:
        self.settings = settings
        self.workers = Workers()
        self.device = self.workers.device(settings.run.device)
        torch.manual_seed(settings.run.seed)
        self.model = build_codec(settings.codec, settings.init, settings.semantic_weights)
        prepare(self.model, settings)
        self.objective = CodecObjective(self.model, settings).to(self.device)
        if settings.discriminator_weights:
            load_discriminators(self.objective.discriminators, settings.discriminator_weights)
        self.generator = self.objective.generator()
        self.critic = list(self.objective.discriminators.parameters())
        self.optimizers = [settings.optimizer.adamw(p) for p in (self.generator, self.critic)]
        self.data = self._open_data()
        self.valid = Manifest(settings.data.valid) if settings.data.valid else None
        check_settings(settings, self.model.config, self.data.rates.to_output(self.data.length))
        if settings.run.compile:
            compile_snake(self.model)
        self.finished = settings.run.begin
        self.average: CodecModel | None = None
        self._resume()
        self._check_recordings()
        if self.finished == 0 and settings.init is None:
            self._spread_codes()
        for part in self._parts().values():
            self.workers.broadcast(part.parameters())
        if settings.ema and self.average is None:
            self.average = copy.deepcopy(self.model).eval()
        self.means = [GradientMean(p, self.workers.world) for p in (self.generator, self.critic)]

    def _open_data(self) -> Segments:
        """The training audio, with the labels that the losses need."""
        settings, config = self.settings, self.model.config
        harmonic = config.decoder_head == "harmonic" and settings.loss.audible
        codes_stay = settings.freeze_encoder and not settings.data.perturb
        return Segments(
            settings.data,
            config.input_rate,
            config.input_hop,
            settings.run.seed,
            pitch=harmonic or settings.loss.prior > 0,
            references=config.speaker_size > 0 and settings.loss.audible,
            output_rate=config.output_rate,
            encode=self._encode if codes_stay else None,
        )

    @torch.no_grad()
    def _encode(self, samples: NDArray[np.float32]) -> NDArray[np.int64]:
        """Codes of a whole clip."""
        return self.model.encode(torch.from_numpy(samples)[None].to(self.device))[0].cpu().numpy()

    def _check_recordings(self) -> None:
        """Refuse missing recordings; a run that has begun continues without them."""
        resumed = bool(checkpoints(Path(self.settings.run.out)))
        self.data.check(resumed)
        if self.valid is not None and not resumed:
            missing = absent(list(self.valid.read(0, self.settings.data.valid_clips)))
            if missing:
                raise LlasaError(missing_sentence(missing, "data.valid"))

    @property
    def lost(self) -> Mapping[str, str]:
        return self.data.lost

    def _parts(self) -> dict[str, nn.Module]:
        """The modules in a checkpoint, apart from the average."""
        objective = self.objective
        return {
            "model": self.model,
            "semantic_decoder": objective.semantic_decoder,
            "phone_head": objective.phone_head,
            "prior": objective.prior,
            "discriminators": objective.discriminators,
        }

    def _resume(self) -> None:
        found = checkpoints(Path(self.settings.run.out))
        if not found:
            return
        self.finished, folder = found[-1]
        state = load_state(folder)
        with fitting(folder):
            for name, part in self._parts().items():
                part.load_state_dict(state.get(name, {}))
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            if self.settings.ema and "average" in state:
                self.average = copy.deepcopy(self.model).eval()
                self.average.load_state_dict(state["average"])

    def save(self) -> None:
        if self.workers.rank == 0:
            state: dict[str, Any] = {
                name: part.state_dict() for name, part in self._parts().items()
            }
            state["optimizers"] = [o.state_dict() for o in self.optimizers]
            if self.average is not None:
                state["average"] = self.average.state_dict()
            self.write_checkpoint(state, lambda to: save_codec(self.evaluated(), to))
        self.workers.barrier()

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

    def evaluated(self) -> CodecModel:
        """The network to validate and save: the average if there is one."""
        return self.average if self.average is not None else self.model

    def batch(self, step: int) -> Segment:
        return self.data.batch(step, self.workers.rank, self.workers.world)

    def step(self, batch: Segment) -> Values:
        objective, step = self.objective, self.finished
        self._seed()
        generator, critic = self.optimizers
        rate = self.set_rate([generator])
        self.set_rate([critic], self.settings.discriminator.rate)
        self.model.train()
        self.model.semantic.eval()
        batch = batch.to(self.device)
        values: Values = {}
        # One autocast for each forward: it keeps casts of the weights that an update outdates.
        with self.precision():
            encoded = objective.encode(batch, step)
            decoded = objective.decode(encoded, batch)
        if decoded is not None and objective.adversarial(step):
            with self.precision():
                critic_loss = objective.discriminator_loss(batch.target, decoded.waveform)
            values["discriminator"] = critic_loss
            values["critic_grad_norm"] = self._update(1, self.critic, critic_loss)
        with self.precision():
            loss, losses = objective.losses(batch, encoded, decoded, step)
        values["grad_norm"] = self._update(0, self.generator, loss)
        self._update_average()
        codes = encoded.codes
        used = torch.unique(codes).numel() / min(self.model.config.codebook_size, codes.numel())
        return {"loss": loss, **losses, **values, "code_use": used, "rate": rate}

    def _seed(self) -> None:
        """Dropout, too, must repeat after a restart."""
        run = self.settings.run
        seeds = np.random.SeedSequence((run.seed, self.finished, self.workers.rank))
        torch.manual_seed(int(seeds.generate_state(1)[0]))

    def _update(self, side: int, parameters: list[nn.Parameter], loss: Tensor) -> Tensor:
        """One optimizer step; returns the gradient norm before clipping."""
        self.optimizers[side].zero_grad(set_to_none=True)
        with self.means[side]:
            loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(parameters, self.settings.optimizer.clip)
        self.optimizers[side].step()
        return norm

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            return
        decay = min(self.settings.ema, (self.finished + 1) / (self.finished + 10))
        for mean, now in zip(self.average.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(now, 1 - decay)

    def evaluate(self, log: Log) -> None:
        if self.valid is None or self.workers.rank:
            return
        model, clips = self.evaluated().eval(), self.settings.data.valid_clips
        scores, samples = validate(model, self.valid, clips, self.objective.mel, self.data.lost)
        log.write(self.finished, {f"valid/{name}": value for name, value in scores.items()})
        for name, audio in samples.items():
            log.audio(self.finished, name, audio, model.config.output_rate)


def train_codec(settings: CodecTraining) -> None:
    """Train, or resume training; see ``CodecTraining``."""
    CodecTrainer(settings).train()
