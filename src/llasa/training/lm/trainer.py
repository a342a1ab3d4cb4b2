"""Language model trainer: plain next-token prediction on speech (paper sections 3.1 and 4.2.1).

One process, or ``torchrun`` with fully sharded parameters (FSDP2). A run that was killed goes on
with the very losses it would have had; on a GPU as far as its kernels repeat themselves.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from llasa.base.errors import LlasaError
from llasa.base.names import check_choice
from llasa.data.shards import TokenDataset
from llasa.lm.checkpoint import load_llama, save_llama
from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama
from llasa.lm.lora import add_lora, merge_lora, save_adapter, split_lora
from llasa.models.find import find_lm
from llasa.training.checkpoint import checkpoints, fitting, load_state
from llasa.training.lm.code_embedding import folded, share_codes
from llasa.training.lm.data import Batch, LMBatches
from llasa.training.lm.objective import Losses, Objective
from llasa.training.lm.preference import PairBatch, PairBatches, preference_loss
from llasa.training.lm.samples import Sampler
from llasa.training.lm.settings import LMTraining
from llasa.training.log import Log, Values
from llasa.training.trainer import Trainer
from llasa.training.workers import Workers
from llasa.vocabulary.rows import IGNORE
from llasa.vocabulary.vocabulary import Vocabulary

MODEL_SETTINGS = [f"model.{field.name}" for field in fields(LlamaConfig)]
ADAPTER = "adapter"
"""Folder of a checkpoint with the adapter alone."""
EVAL_ROWS = 16
"""Rows scored together at an evaluation."""


class LMTrainer(Trainer[list[Batch]]):
    """State of one run."""

    def __init__(self, settings: LMTraining) -> None:
        self.settings = settings
        self.workers = Workers()
        self.device = self.workers.device(settings.run.device)
        torch.manual_seed(settings.run.seed)
        self.vocabulary = Vocabulary.load(find_lm(settings.vocabulary))
        data = settings.data
        if not data.train:
            raise LlasaError(
                "Setting data.train is empty: give at least one folder of token shards."
            )
        seed = settings.run.seed
        tokens = TokenDataset(*data.train)
        self._check_codec(tokens.codec)
        phones = settings.phones.symbols
        self.data = LMBatches(data, tokens, self.vocabulary, seed, phones)
        self.valid = None
        if data.valid:
            TokenDataset(*data.train, *data.valid)  # of one codec
            self.valid = LMBatches(data, TokenDataset(*data.valid), self.vocabulary, seed, phones)
        self.sampler = None
        if settings.sample_texts and self.workers.rank == 0:
            self.sampler = Sampler(
                settings.sample_texts, settings.codec, self.vocabulary, self.device
            )
        self.llama = self._build_model()
        self._check_layers()
        if settings.code_levels:
            self._share_codes()
        if settings.lora.rank:
            add_lora(self.llama, settings.lora)
        self.llama.to(self.device)
        if settings.run.compile:
            for layer in self.llama.model.layers:
                layer.compile(dynamic=True)
        self.objective = Objective(self.llama, settings, self.vocabulary)
        if self.workers.world > 1:
            self._shard()
        self.pairs = self._compare() if settings.preference.pairs else None
        self.optimizers = settings.optimizer.build(self.objective, self.llama.model.layers)
        self.finished = 0
        if self.workers.rank == 0:
            tokens.check()
        self._resume()

    @property
    def lost(self) -> Mapping[str, str]:
        return self.data.lost

    def _check_codec(self, codec: str) -> None:
        """Note whose codes the model learns; `codec` is empty where the data does not say."""
        known = self.vocabulary.codec
        if self.settings.init is not None and known and codec not in ("", known):
            raise LlasaError(
                f"The model speaks the codes of the codec {known}, but data.train holds codes of "
                f"the codec {codec}: tokenize the recordings with the codec of the model."
            )
        self.vocabulary.codec = codec or known

    def _build_model(self) -> Llama:
        settings, size = self.settings, self.vocabulary.size
        if settings.init is None:
            end = self.vocabulary.end
            for name in settings.model:
                check_choice(f"model.{name}", MODEL_SETTINGS, "Setting")
            sizes = {"vocab_size": size, "eos_token_id": end, **settings.model}
            values = {"model_type": "llama", **sizes}
            return Llama(LlamaConfig.from_dict(values))
        model = load_llama(find_lm(settings.init))
        for name, value in settings.model.items():
            if (found := asdict(model.config).get(name)) != value:
                raise LlasaError(
                    f"Setting model.{name} is {value}, but {settings.init} has {found}: leave out "
                    "model or init."
                )
        if model.config.vocab_size > size:
            raise LlasaError(
                f"{settings.init} has {model.config.vocab_size} ids, more than the "
                f"{size} of {settings.vocabulary}: they do not belong together."
            )
        return grow_vocabulary(model, size)

    def _check_layers(self) -> None:
        config, guide = self.llama.config, self.settings.alignment
        layers, heads = config.num_hidden_layers, config.num_attention_heads
        for name in ("alignment", "phones"):
            wanted = getattr(self.settings, name)
            if wanted.weight and wanted.layer >= layers:
                raise LlasaError(
                    f"Setting {name}.layer {wanted.layer} does not exist: the model has layers 0 "
                    f"to {layers - 1}."
                )
        if guide.weight and len(guide.offsets) > heads:
            raise LlasaError(
                f"Setting alignment.offsets asks for {len(guide.offsets)} heads, but the model has "
                f"{heads}."
            )

    def _share_codes(self) -> None:
        levels = self.settings.code_levels
        codes = math.prod(levels)
        if min(levels) < 2 or codes != self.vocabulary.codebook_size:
            raise LlasaError(
                f"Setting code_levels {levels} must be 2 or more each and make as many codes as "
                f"the vocabulary has ({self.vocabulary.codebook_size}): give the levels in the "
                "config.json of the codec."
            )
        share_codes(self.llama, levels, self.vocabulary.speech_start, self.settings.init is None)

    def _shard(self) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        mesh = init_device_mesh(self.device.type, (self.workers.world,))
        low = torch.bfloat16 if self.settings.run.bf16 else None
        policy = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32)
        for layer in self.llama.model.layers:
            fully_shard(layer, mesh=mesh, mp_policy=policy)
        # The batch holds places in the text, which bfloat16 would blur.
        fully_shard(self.objective, mesh=mesh, mp_policy=replace(policy, cast_forward_inputs=False))

    def _compare(self) -> PairBatches:
        """Pairs of candidates, scored by the initial model."""
        from torch.distributed.fsdp import FSDPModule

        settings = self.settings
        pairs = PairBatches(settings.preference, self.data, self.vocabulary, settings.run.seed)
        with torch.no_grad():
            pairs.remember(lambda batch: self._losses(batch).codes, self.workers)
        if isinstance(self.objective, FSDPModule):
            self.objective.reshard()  # the optimizers are to see the shards
        return pairs

    def _resume(self) -> None:
        found = checkpoints(Path(self.settings.run.out))
        if not found:
            return
        self.finished, folder = found[-1]
        state = load_state(folder)
        options = StateDictOptions(full_state_dict=True)
        with fitting(folder):
            set_model_state_dict(self.objective, state["model"], options=options)
            set_optimizer_state_dict(
                self.objective, self.optimizers, state["optimizer"], options=options
            )

    def save(self) -> None:
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state = {
            "model": get_model_state_dict(self.objective, options=options),
            "optimizer": get_optimizer_state_dict(self.objective, self.optimizers, options=options),
        }
        if self.workers.rank == 0:
            self.write_checkpoint(state, lambda to: self._write(to, state))
        self.workers.barrier()

    def _write(self, folder: Path, state: dict[str, Any]) -> None:
        save_llama(self._whole(state["model"]), folder)
        self.vocabulary.save(folder)
        if self.settings.lora.rank:
            _, adapter = split_lora(_of_llama(state["model"]))
            save_adapter(folder / ADAPTER, adapter, self.settings.lora)

    def _whole(self, state: dict[str, Any]) -> Llama:
        """The unsharded network with these weights."""
        with torch.device("meta"):
            whole = Llama(self.llama.config)
        weights = _of_llama(state)
        if self.settings.lora.rank:
            weights = merge_lora(*split_lora(weights), self.settings.lora.scale)
        weights = folded(weights, self.settings.code_levels, self.vocabulary.speech_start)
        whole.load_state_dict(weights, assign=True)
        return whole

    def batch(self, step: int) -> list[Batch]:
        parts, workers = self.settings.optimizer.accumulate, self.workers
        first = step * parts * workers.world + workers.rank
        return [self.data.batch(first + part * workers.world) for part in range(parts)]

    def step(self, batch: list[Batch]) -> Values:
        step, workers = self.finished, self.workers
        torch.manual_seed(hash((self.settings.run.seed, step, workers.rank)))  # of dropout
        rate = self.set_rate(self.optimizers)
        for optimizer in self.optimizers:  # the module may hold unsharded parameters just now
            optimizer.zero_grad(set_to_none=True)
        # Every token counts alike, whichever process or part of the batch it is in.
        learnt = float(workers.sum(torch.tensor(float(sum(part.learnt() for part in batch)))))
        share = workers.world / max(learnt, 1.0)  # gradients are averaged over processes
        weights = self.objective.weights(step)
        means: dict[str, Tensor] = {}
        for part in batch:
            codes, extra = self._losses(part, weights)
            loss = codes.sum() * share
            losses = {"loss": loss.detach()}
            for name, value in extra.items():
                mean = value / len(batch)
                loss = loss + weights[name] * mean
                losses[name] = mean.detach()
            loss.backward()  # type: ignore[no-untyped-call]
            means = {name: means.get(name, 0.0) + value for name, value in losses.items()}
        if self.pairs is not None:
            means |= self._prefer(self.pairs.batch(step * workers.world + workers.rank))
        norm = nn.utils.clip_grad_norm_(self.objective.parameters(), self.settings.optimizer.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        return {**means, "rate": rate, "grad_norm": _whole(norm), "tokens": learnt}

    def _prefer(self, pairs: PairBatch) -> dict[str, Tensor]:
        """Adds the gradients of the preference loss."""
        settings, scores = self.settings.preference, self._losses(pairs.batch).codes
        loss, right = preference_loss(
            scores.view(2, -1), pairs.reference.to(self.device), settings.beta
        )
        (settings.weight * loss).backward()
        return {"preference": loss.detach(), "preferred": right}

    def _losses(self, batch: Batch, wanted: Collection[str] = ()) -> Losses:
        self.objective.train(torch.is_grad_enabled())  # dropout of adapters
        with self.precision():
            losses: Losses = self.objective(batch.to(self.device), tuple(wanted))
        return losses

    @torch.no_grad()
    def evaluate(self, log: Log) -> None:
        """Loss on held-out rows, and with their texts exchanged: the gap shows that it reads."""
        if self.valid is not None:
            right, wrong = self._score(self.valid, 0), self._score(self.valid, 1)
            scores = {f"valid/{name}": value for name, value in right.items()}
            scores["valid/loss_wrong_text"] = wrong["loss"]
            log.write(self.finished, scores)
        if self.settings.sample_texts:
            self._speak(log)

    def _score(self, valid: LMBatches, shift: int) -> dict[str, float]:
        """Losses of rows that have the text of the row ``shift`` places further."""
        count = min(self.settings.data.valid_rows, len(valid.lengths))
        wanted = ("phones",) if self.settings.phones.weight else ()
        sums: dict[str, float] = defaultdict(float)
        counts: dict[str, int] = defaultdict(int)
        for start in range(0, count, EVAL_ROWS):
            chosen = range(start, min(start + EVAL_ROWS, count))
            batch = valid.collate([valid.row(i, (i + shift) % count) for i in chosen])
            losses = self._losses(batch, wanted)
            sums["loss"] += float(losses.codes.sum())
            counts["loss"] += batch.learnt()
            for name, value in losses.extra.items():
                known = int((batch.phones != IGNORE).sum())
                sums[name] += float(value) * known
                counts[name] += known
        return {name: total / max(counts[name], 1) for name, total in sums.items()}

    def _speak(self, log: Log) -> None:
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state = get_model_state_dict(self.objective, options=options)
        if self.sampler is not None:
            model = self._whole(state).to(self.device)
            rate = self.sampler.codec.sample_rate
            for number, samples in self.sampler.speak(model):
                log.audio(self.finished, f"sample-{number}", samples, rate)


def _of_llama(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the network: other parts only help to train."""
    own = "llama."
    return {k.removeprefix(own): v for k, v in state.items() if k.startswith(own)}


def grow_vocabulary(model: Llama, size: int) -> Llama:
    """A copy with ``size`` ids; new rows are drawn as in the release, normal(0, 0.02)."""
    grown = Llama(replace(model.config, vocab_size=size))
    state = model.state_dict()
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        if name in state:
            fresh = grown.state_dict()[name].clone()
            fresh[: model.config.vocab_size] = state[name]
            state[name] = fresh
    grown.load_state_dict(state)
    return grown


def _whole(value: Tensor) -> Tensor:
    """A sharded scalar as a plain one."""
    full: Any = getattr(value, "full_tensor", None)
    return value if full is None else full()


def train_lm(settings: LMTraining) -> None:
    """Train or go on training; see ``LMTraining``."""
    LMTrainer(settings).train()
