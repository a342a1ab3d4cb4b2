"""Teaches a draft head on the model's own speech; the language model stays as it is.

See ``llasa.lm.draft_head`` for what it is good for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from llasa.base.errors import LlasaError
from llasa.base.files import make_folder, only_writer
from llasa.base.names import whole
from llasa.base.progress import progress
from llasa.base.rows import Rows
from llasa.lm.checkpoint import load_llama
from llasa.lm.draft_head import DraftHead, save_draft_head
from llasa.lm.engine import generate
from llasa.models.find import find_model, shipped_models
from llasa.models.folder import DRAFT, is_model_folder
from llasa.models.identity import model_identity
from llasa.models.voice import RANDOM
from llasa.training.checkpoint import restore
from llasa.training.lm.settings import LMOptimizerSettings
from llasa.training.lm.texts import different_texts
from llasa.training.log import Log, Values
from llasa.training.pinned import pin
from llasa.training.schedules import ScheduleSettings
from llasa.training.settings import RunSettings, begins_at_zero
from llasa.training.trainer import Trainer
from llasa.training.workers import Workers
from llasa.tts.llasa import Llasa
from llasa.tts.loaded import BATCH
from llasa.vocabulary.vocabulary import Vocabulary

SPEECH = "speech.jsonl"
HELD_OUT = 20
"""One take of so many is only for evaluation."""
COOLEST = 0.1
"""Lowest temperature of the distributions that are learnt."""


@dataclass
class DraftTraining:
    """All settings of ``llasa train draft``.

    ``model`` is a model folder, into which the draft head is written; ``texts`` a file with a text
    a line. The model says them, one after another, by its own sampling defaults and in its voices,
    until it has made ``tokens`` tokens. ``inner`` is the width of the network (0: twice that of the
    model's states), ``ahead`` how many tokens in a row it learns to draft, and ``batch`` from how
    many places a step learns.
    """

    model: str
    texts: str
    run: RunSettings = field(default_factory=lambda: RunSettings("runs/draft", steps=3000))
    tokens: int = 200_000
    inner: int = 0
    ahead: int = 2
    batch: int = 512
    optimizer: LMOptimizerSettings = field(
        default_factory=lambda: LMOptimizerSettings(rate=2e-3, weight_decay=0.1)
    )
    schedule: ScheduleSettings = field(default_factory=lambda: ScheduleSettings(warmup_ratio=0.03))

    def __post_init__(self) -> None:
        for name in ("tokens", "ahead", "batch"):
            whole(f"Setting {name}", getattr(self, name))
        whole("Setting inner", self.inner, 0)
        begins_at_zero(self.run)


class Places(NamedTuple):
    """Places of spoken tokens, take after take."""

    states: Tensor
    """(N, D), those that chose the tokens, before the last norm."""
    tokens: Tensor
    """(N,), the chosen ids."""
    left: Tensor
    """(N,), how many places of the same take follow."""


class DraftTrainer(Trainer[Tensor]):
    """State of one run; one process."""

    def __init__(self, settings: DraftTraining) -> None:
        self.settings, self.workers = settings, Workers()
        if self.workers.world > 1:
            raise LlasaError("A draft head learns in one process: start it without torchrun.")
        self.device = self.workers.device(settings.run.device)
        self.target = _own_folder(settings.model)
        self.files = find_model(self.target)
        self.vocabulary = Vocabulary.load(self.files.lm)
        run = make_folder(Path(settings.run.out))
        with only_writer(run):
            pin(run, {"identity": model_identity(self.files, {})})
            takes = self._speak()
        self.llama = load_llama(self.files.lm).to(self.device).requires_grad_(False).eval()
        codes = range(self.vocabulary.speech_start, self.vocabulary.size)
        self.columns = torch.tensor([*codes, self.vocabulary.end], device=self.device)
        """Ids that can be sampled: codes, and the end."""
        if len(takes) < 2:
            raise LlasaError(f"{settings.texts} gives {len(takes)} takes to learn from: give more.")
        held = [take for number, take in enumerate(takes) if number % HELD_OUT == 0]
        rest = [take for number, take in enumerate(takes) if number % HELD_OUT]
        self.train_places, self.held_out = self._places(rest), self._places(held)
        """Places to learn from, and others to see how often drafts are right."""
        self._drafted = (self.train_places.left > 0).nonzero()[:, 0]
        if len(self._drafted) < settings.batch:
            raise LlasaError(
                f"{settings.texts} gives {len(self._drafted)} places to learn from, fewer than a "
                f"batch of {settings.batch}: give more texts, or a smaller batch."
            )
        temperature = self.files.settings.rule().temperature
        self.temperature = max(temperature, COOLEST)
        torch.manual_seed(settings.run.seed)
        size = self.llama.config.hidden_size
        self.head = DraftHead(size, settings.inner or 2 * size).to(self.device)
        self.optimizers = settings.optimizer.build(self.head, self.head)
        self.finished = restore(Path(settings.run.out), self.head, self.optimizers)

    def batch(self, step: int) -> Tensor:
        """The places of a step: all once an epoch, in an order that repeats."""
        count = self.settings.batch
        epoch, place = divmod(step, len(self._drafted) // count)
        order = np.random.default_rng((self.settings.run.seed, epoch)).permutation(
            len(self._drafted)
        )
        return self._drafted[torch.from_numpy(order[place * count : (place + 1) * count])]

    def step(self, batch: Tensor) -> Values:
        rate = self.set_rate(self.optimizers)
        loss, total = torch.zeros((), device=self.device), 0
        with self.precision():
            for drafted, places in self._drafts(self.train_places, batch):
                with torch.no_grad():
                    wanted = self._logits(self.train_places.states[places]) / self.temperature
                learnt = drafted.log_softmax(-1)
                loss = loss - (wanted.softmax(-1) * learnt).sum()
                total += len(places)
        loss = loss / total
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.head.parameters(), self.settings.optimizer.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        return {"loss": float(loss.detach()), "rate": rate, "grad_norm": norm}

    @torch.no_grad()
    def evaluate(self, log: Log) -> None:
        """Log after how many held-out places the first, the first two, ... drafts are right."""
        every = torch.arange(len(self.held_out.tokens), device=self.device)
        right = np.zeros(self.settings.ahead)
        for some in every.split(self.settings.batch):
            good = torch.zeros(len(every), dtype=torch.bool, device=self.device)
            good[some] = True
            for ahead, (drafted, places) in enumerate(self._drafts(self.held_out, some)):
                wrong = self.columns[drafted.argmax(-1)] != self.held_out.tokens[places]
                good[places[wrong] - ahead - 1] = False
                right[ahead] += int(good[places - ahead - 1].sum())
        shares = right / max(1, len(every))
        log.write(
            self.finished, {f"valid/right_{n}": float(share) for n, share in enumerate(shares, 1)}
        )

    def _drafts(self, data: Places, places: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits of the first, second, ... drafts after some places, and the places they are of."""
        states = data.states[places]
        for _ in range(self.settings.ahead):
            inside = data.left[places] > 0
            places, states = places[inside], states[inside]
            tokens = data.tokens[places]
            states = self.head(states, self.llama.model.embed_tokens(tokens))
            places = places + 1
            yield self._logits(states), places

    def _logits(self, states: Tensor) -> Tensor:
        weight = self.llama.model.norm.weight
        return self.llama.logits(self.llama.model.norm(states.to(weight.dtype)), self.columns)

    def save(self) -> None:
        state = {
            "model": self.head.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        self.write_checkpoint(state, lambda folder: save_draft_head(self.head, folder / DRAFT))

    def finish(self) -> Path:
        """Put the draft head into the model folder; returns its file."""
        save_draft_head(self.head, self.target / DRAFT)
        return self.target / DRAFT

    def _speak(self) -> list[dict[str, Any]]:
        """Takes of the texts, which are kept in the run's folder, of as many tokens as asked."""
        own = self.settings
        rows = Rows(Path(own.run.out, SPEECH), lambda row: row["text"])
        texts = list(different_texts(Path(own.texts)))
        takes: list[dict[str, Any]] = []
        count, tts = 0, None
        with progress(desc="speech", total=own.tokens, unit="token") as bar:
            for first in range(0, len(texts), BATCH):
                some = texts[first : first + BATCH]
                if missing := [text for text in some if text not in rows]:
                    tts = tts or Llasa.load(self.target, device=str(self.device))
                    for row in _say(tts, missing, own.run.seed + first):
                        rows.add(row)
                new = [rows[text] for text in some if rows[text]["tokens"]]
                made = sum(len(row["tokens"]) for row in new)
                takes, count = takes + new, count + made
                bar.update(made)
                if count >= own.tokens:
                    break
        return takes

    @torch.no_grad()
    def _places(self, takes: Sequence[dict[str, Any]]) -> Places:
        last = self.llama.config.num_hidden_layers - 1
        states, tokens, left = [], [], []
        for take in takes:
            spoken = [*take["tokens"], *([self.vocabulary.end] if take["ended"] else [])]
            ids = torch.tensor([[*take["prompt"], *spoken[:-1]]], device=self.device)
            found = self.llama.forward_with_states(ids, (last,))[1][last].state[0]
            states.append(found[-len(spoken) :])
            tokens.append(torch.tensor(spoken, device=self.device))
            left.append(torch.arange(len(spoken) - 1, -1, -1, device=self.device))
        return Places(torch.cat(states), torch.cat(tokens), torch.cat(left))


def _own_folder(model: str) -> Path:
    """The folder of a model that may be written to."""
    folder = Path(model)
    if model in shipped_models() or not is_model_folder(folder):
        raise LlasaError(
            f"A draft head is written into its model's folder, which {model!r} is not: give a "
            "model folder of your own (llasa pack writes one)."
        )
    return folder


def _say(tts: Llasa, texts: Sequence[str], seed: int) -> Iterator[dict[str, Any]]:
    """What the model says of each text, in one of its voices; nothing of those of several parts."""
    voices = tts.voices() or [RANDOM]
    tasks = {}
    for number, text in enumerate(texts):
        try:
            request = tts.request(text, voice=voices[(seed + number) % len(voices)], seed=seed)
        except LlasaError:
            continue
        if len(request.passages) == 1:
            tasks[text] = tts.task(request)
    spoken = generate(
        tts.engine, [t.prompt for t in tasks.values()], [t.params for t in tasks.values()]
    )
    found = dict(zip(tasks, spoken, strict=True))
    for text in texts:
        take = found.get(text)
        prompt, tokens = ([], []) if take is None else (list(take.prompt), take.tokens)
        ended = take is not None and take.finish == "stop"
        yield {"text": text, "prompt": prompt, "tokens": tokens, "ended": ended}


def train_draft(settings: DraftTraining) -> Path:
    """Train or go on training, and write the draft head; returns its file."""
    trainer = DraftTrainer(settings)
    trainer.train()
    return trainer.finish()
