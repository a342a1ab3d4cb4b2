"""Language model trainer: plain next-token prediction on speech (paper sections 3.1 and 4.2.1).

One process, or ``torchrun`` with fully sharded parameters (FSDP2). A run that was killed goes on
with the very losses it would have had; on a GPU as far as its kernels repeat themselves.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping
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
from llasa.data.shards import TokenDataset
from llasa.lm.checkpoint import EMBEDDING, save_llama
from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama
from llasa.lm.lora import add_lora, merge_lora, save_adapter, split_lora
from llasa.models.find import find_lm
from llasa.training.checkpoint import checkpoints, fitting, load_state
from llasa.training.lm.batch import Batch
from llasa.training.lm.code_embedding import folded, share_codes, shrink
from llasa.training.lm.data import LMBatches
from llasa.training.lm.export import write_sharded
from llasa.training.lm.mixture import open_mixture
from llasa.training.lm.objective import Losses, Objective
from llasa.training.lm.preference import PairBatch, PairBatches, preference_loss
from llasa.training.lm.samples import Sampler
from llasa.training.lm.settings import LMTraining
from llasa.training.lm.sharding import fill, full, set_sync, shard
from llasa.training.lm.start import Start
from llasa.training.log import Log, Values
from llasa.training.settings import check_begin
from llasa.training.sharded import ShardedCheckpoints, is_sharded, load_sharded
from llasa.training.trainer import Trainer
from llasa.training.workers import Workers
from llasa.vocabulary.prompts import PromptTask
from llasa.vocabulary.rows import IGNORE
from llasa.vocabulary.vocabulary import Vocabulary

OWN = "llama."
"""What the names of the network's weights begin with in the state of a run."""
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
        seed = settings.run.seed
        tokens = open_mixture(data.train, data.task, data.mixture)
        self._check_codec(tokens.codec)
        phones = settings.phones.symbols
        self.data = LMBatches(data, tokens, self.vocabulary, seed, phones)
        self.valid = None
        if data.valid:
            speech = [path for each in data.mixture if each.task != "text" for path in each.train]
            TokenDataset(*data.train, *speech, *data.valid)  # of one codec
            self.valid = LMBatches(data, TokenDataset(*data.valid), self.vocabulary, seed, phones)
        self.sampler = None
        if settings.sample_texts and self.workers.rank == 0:
            self.sampler = Sampler(
                settings.sample_texts, settings.codec, self.vocabulary, self.device
            )
        self.start = Start(settings, self.vocabulary)
        self._check_layers(self.start.config)
        self.llama, self.objective = self._build()
        self.pairs = self._compare() if settings.preference.pairs else None
        self.optimizers = settings.optimizer.build(self.objective, self.llama.model.layers)
        self.sharded: ShardedCheckpoints | None = None
        if self.workers.world > 1:
            run, later = settings.run, settings.parallel.async_save
            self.sharded = ShardedCheckpoints(Path(run.out), run.keep, self.workers, later)
        self.finished = settings.run.begin
        self._origin = (0, 0)
        """A step, and the number of batches of rows before it."""
        if self.workers.rank == 0:
            tokens.check()
        self._resume()
        if data.epochs:
            settings.run.steps = self._steps_of(data.epochs)
            check_begin(settings.run, settings.init)

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

    def _build(self) -> tuple[Llama, Objective]:
        """The network and its losses, as this process has them."""
        settings, sharded = self.settings, self.workers.world > 1
        llama = self.start.empty() if sharded else self.start.whole()
        if settings.code_levels:
            self._share_codes(llama)
        if settings.lora.rank:
            add_lora(llama, settings.lora)
        if settings.run.compile:
            for layer in llama.model.layers:
                layer.compile(dynamic=True)
        objective = Objective(llama, settings, self.vocabulary)
        if sharded:
            layers, parallel = llama.model.layers, settings.parallel
            shard(objective, layers, self.workers, self.device, parallel, self.bf16)
            fill(objective, self._rows, self.device)
        return llama, objective.to(self.device)

    def _rows(self, name: str, shape: tuple[int, ...], first: int, stop: int) -> Tensor:
        """Some rows of a weight as the run begins with it."""
        settings = self.settings
        rows = self.start.rows(name.removeprefix(OWN), shape, first, stop)
        if settings.code_levels and settings.init is None and name == OWN + EMBEDDING:
            codes = self.vocabulary.speech_start - first
            shrink(rows, codes, self.vocabulary.codebook_size)
        return rows

    def _check_layers(self, config: LlamaConfig) -> None:
        guide = self.settings.alignment
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

    def _share_codes(self, llama: Llama) -> None:
        levels = self.settings.code_levels
        codes = math.prod(levels)
        if min(levels) < 2 or codes != self.vocabulary.codebook_size:
            raise LlasaError(
                f"Setting code_levels {levels} must be 2 or more each and make as many codes as "
                f"the vocabulary has ({self.vocabulary.codebook_size}): give the levels in the "
                "config.json of the codec."
            )
        share_codes(llama, levels, self.vocabulary.speech_start, self.settings.init is None)

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

    @property
    def parts(self) -> int:
        """Batches of rows that make one step, those of all processes together."""
        data = self.settings.data
        if data.global_tokens:
            return max(1, round(data.global_tokens / data.tokens))
        return self.settings.optimizer.accumulate * self.workers.world

    @property
    def position(self) -> int:
        """Batches of rows learnt so far, whatever number of processes there was."""
        return self._position_at(self.finished)

    def _position_at(self, step: int) -> int:
        begun, before = self._origin
        return before + (step - begun) * self.parts

    def _resume(self) -> None:
        found = checkpoints(Path(self.settings.run.out))
        if not found:
            return
        self.finished, folder = found[-1]
        if is_sharded(folder):
            state = {**self._state(), "position": 0}
            load_sharded(folder, state)
        else:
            state = load_state(folder, mapped=self.workers.world > 1)
        options = StateDictOptions(full_state_dict=not is_sharded(folder))
        decays = [[g["weight_decay"] for g in each.param_groups] for each in self.optimizers]
        with fitting(folder):
            set_model_state_dict(self.objective, state["model"], options=options)
            set_optimizer_state_dict(
                self.objective, self.optimizers, state["optimizer"], options=options
            )
        # Older checkpoints had norms and matrices in one group, whose decay they would bring along.
        for optimizer, own in zip(self.optimizers, decays, strict=True):
            for group, decay in zip(optimizer.param_groups, own, strict=True):
                group["weight_decay"] = decay
        # Older checkpoints do not say; they come from as many processes as there are now.
        self._origin = (self.finished, state.get("position", self.finished * self.parts))

    def _steps_of(self, epochs: float) -> int:
        """Steps that so many passes over the data take; the learning rate follows their number.

        Raises `LlasaError` where steps have become larger or smaller, for the rate would jump.
        """
        if self.position != self.finished * self.parts:
            batches = self.position / self.finished
            raise LlasaError(
                f"Setting data.epochs: each step of this run learnt from {batches:g} batches, but "
                f"now would from {self.parts}, which moves the learning rate. Use as many "
                "processes and the optimizer.accumulate of before, or data.global_tokens="
                f"{round(batches * self.settings.data.tokens)}."
            )
        return math.ceil(epochs * len(self.data.plan(0)) / self.parts)

    def _state(self) -> dict[str, Any]:
        """What the trainer needs to go on; whole tensors in one process, else its shards."""
        options = StateDictOptions(full_state_dict=self.sharded is None, cpu_offload=True)
        return {
            "model": get_model_state_dict(self.objective, options=options),
            "optimizer": get_optimizer_state_dict(self.objective, self.optimizers, options=options),
            "position": self.position,
        }

    def save(self) -> None:
        state = self._state()
        if self.sharded is not None:
            weights = state["model"]
            self.sharded.save(self.finished, state, lambda to: self._write_shared(to, weights))
        else:
            self.write_checkpoint(state, lambda to: self._write(to, state))

    def settle(self) -> None:
        if self.sharded is not None:
            self.sharded.finish()

    def _write(self, folder: Path, state: dict[str, Any]) -> None:
        save_llama(self._whole(state["model"]), folder)
        self._write_rest(folder, state["model"])

    def _write_shared(self, folder: Path, weights: dict[str, Tensor]) -> None:
        """As `_write`, by all processes together."""
        own = _of_llama(weights)
        adapters = {k: full(v) for k, v in split_lora(own)[1].items()}
        # Last of what needs all processes: after it one may fail alone.
        write_sharded(folder, self.start.config, own, self._plain, self.workers)
        if self.workers.rank == 0:
            self._write_rest(folder, {OWN + name: value for name, value in adapters.items()})

    def _write_rest(self, folder: Path, weights: dict[str, Tensor]) -> None:
        self.vocabulary.save(folder)
        if self.settings.lora.rank:
            _, adapter = split_lora(_of_llama(weights))
            save_adapter(folder / ADAPTER, adapter, self.settings.lora)

    def _whole(self, state: dict[str, Any]) -> Llama:
        """The unsharded network with these weights."""
        llama = self.start.empty()
        llama.load_state_dict(self._plain(_of_llama(state)), assign=True)
        return llama

    def _plain(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a plain Llama: adapters merged, shared parts added up."""
        if self.settings.lora.rank:
            weights = merge_lora(*split_lora(weights), self.settings.lora.scale)
        return folded(weights, self.settings.code_levels, self.vocabulary.speech_start)

    def batch(self, step: int) -> list[Batch]:
        """This process's batches of rows: those of a step are dealt out to all processes."""
        first, workers = self._position_at(step), self.workers
        own = range(first + workers.rank, first + self.parts, workers.world)
        batches = [self.data.batch(index) for index in own]
        most = -(-self.parts // workers.world)
        # All processes do as many passes: sharded weights are gathered by all of them together.
        return batches + [self.data.batch(first).silent()] * (most - len(batches))

    def step(self, batch: list[Batch]) -> Values:
        step, workers = self.finished, self.workers
        if self.sharded is not None:
            self.sharded.poll()
        torch.manual_seed(hash((self.settings.run.seed, step, workers.rank)))  # of dropout
        rate = self.set_rate(self.optimizers)
        for optimizer in self.optimizers:  # the module may hold unsharded parameters just now
            optimizer.zero_grad(set_to_none=True)
        # Every token counts alike, whichever process or part of the batch it is in.
        learnt = float(workers.sum(torch.tensor(float(sum(part.learnt() for part in batch)))))
        share = workers.world / max(learnt, 1.0)  # gradients are averaged over processes
        weights = self.objective.weights(step)
        means: dict[str, Tensor] = {}
        for number, part in enumerate(batch, 1):
            last = number == len(batch) and self.pairs is None
            set_sync(self.objective, last, self.settings.parallel)
            codes, extra = self._losses(part, weights)
            loss = codes.sum() * share
            losses = {"loss": loss.detach()}
            for name, value in extra.items():
                mean = value / (self.parts / workers.world)
                loss = loss + weights[name] * mean
                losses[name] = mean.detach()
            loss.backward()  # type: ignore[no-untyped-call]
            means = {name: means.get(name, 0.0) + value for name, value in losses.items()}
        if self.pairs is not None:
            set_sync(self.objective, True, self.settings.parallel)
            means |= self._prefer(self.pairs.batch(step * workers.world + workers.rank))
        norm = nn.utils.clip_grad_norm_(self.objective.parameters(), self.settings.optimizer.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        return {**means, "rate": rate, "grad_norm": full(norm), "tokens": learnt}

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
            if self.settings.data.hear:
                scores["valid/loss_hearing"] = self._score(self.valid, 0, "asr")["loss"]
            log.write(self.finished, scores)
        if self.settings.sample_texts:
            self._speak(log)

    def _score(
        self, valid: LMBatches, shift: int, task: PromptTask | None = None
    ) -> dict[str, float]:
        """Losses of rows that have the text of the row ``shift`` places further."""
        count = min(self.settings.data.valid_rows, len(valid.lengths))
        wanted = ("phones",) if self.settings.phones.weight else ()
        sums: dict[str, float] = defaultdict(float)
        counts: dict[str, int] = defaultdict(int)
        for start in range(0, count, EVAL_ROWS):
            chosen = range(start, min(start + EVAL_ROWS, count))
            batch = valid.collate([valid.row(i, (i + shift) % count, task=task) for i in chosen])
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
    return {k.removeprefix(OWN): v for k, v in state.items() if k.startswith(OWN)}


def train_lm(settings: LMTraining) -> None:
    """Train or go on training; see ``LMTraining``."""
    LMTrainer(settings).train()
