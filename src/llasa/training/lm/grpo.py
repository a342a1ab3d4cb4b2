"""Group-relative policy optimisation (GRPO): verifiers as rewards (Shao et al. 2024, section 4.1).

Of each text a group of takes is spoken by the model as it is; a take is made likelier by how far
its score lies above the others' of its group, and less likely by how far below, while the model is
held near where it began. Every group is used for one step, so that no ratio of policies is needed.
Not in the paper, which keeps the verifiers for inference (section 3.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llasa.base.errors import LlasaError
from llasa.base.names import number, whole
from llasa.codec.codec import Codec
from llasa.lm.checkpoint import load_llama, save_llama
from llasa.lm.llama import Llama
from llasa.lm.sampling import mix
from llasa.lm.torch import TorchEngine
from llasa.models.find import DEFAULT_MODEL, find_model
from llasa.models.folder import check_fit
from llasa.models.voice import RANDOM
from llasa.search.plan import plan
from llasa.training.checkpoint import restore
from llasa.training.lm.settings import LMOptimizerSettings
from llasa.training.lm.texts import different_texts
from llasa.training.log import Log, Values
from llasa.training.schedules import ScheduleSettings
from llasa.training.settings import RunSettings, begins_at_zero
from llasa.training.trainer import Trainer
from llasa.training.workers import Workers
from llasa.tts.llasa import Llasa
from llasa.tts.request import Request
from llasa.verifiers.base import Candidate
from llasa.verifiers.registry import VerifierSpec, find_verifiers
from llasa.vocabulary.vocabulary import Vocabulary

SPREAD = 1e-6
"""Spread of rewards below which a group is all alike."""


@dataclass
class GRPOTraining:
    """All settings of ``llasa train grpo``.

    ``model`` is what it begins with, ``texts`` a file with a text a line, of which the last
    ``held_out`` are only for evaluation. ``verify`` names the verifiers whose scores add up to the
    reward; a take that was cut off or could not be judged has the reward ``failed``, or that of the
    worst take of its group where that is less. A step speaks ``batch`` texts ``group`` times each,
    at ``temperature`` over all codes; the model learns from them in slices of up to ``tokens``
    tokens, padding included. ``beta`` is how much the model is held to where it began.
    """

    texts: str
    model: str = DEFAULT_MODEL
    run: RunSettings = field(default_factory=RunSettings)
    verify: str = "content"
    failed: float = -1.0
    group: int = 8
    batch: int = 4
    tokens: int = 4096
    held_out: int = 16
    temperature: float = 1.0
    beta: float = 0.04
    optimizer: LMOptimizerSettings = field(default_factory=lambda: LMOptimizerSettings(rate=1e-5))
    schedule: ScheduleSettings = field(default_factory=lambda: ScheduleSettings(warmup_ratio=0.03))

    def __post_init__(self) -> None:
        whole("Setting group", self.group, 2)
        whole("Setting batch", self.batch)
        whole("Setting tokens", self.tokens)
        whole("Setting held_out", self.held_out, 0)
        number("Setting temperature", self.temperature, 0.01)
        number("Setting beta", self.beta, 0)
        begins_at_zero(self.run)


class Take(NamedTuple):
    """One take of a text as tokens, and its reward."""

    prompt: Sequence[int]
    answer: Sequence[int]
    reward: float


class GRPOTrainer(Trainer[list[int]]):
    """State of one run; one process.

    Args:
        settings: see there.
        verify: verifiers in place of the settings' names.
    """

    def __init__(self, settings: GRPOTraining, verify: VerifierSpec | None = None) -> None:
        self.settings, self.workers = settings, Workers()
        if self.workers.world > 1:
            raise LlasaError("GRPO runs in one process: start it without torchrun.")
        self.device = self.workers.device(settings.run.device)
        self.files = find_model(settings.model)
        self.vocabulary = Vocabulary.load(self.files.lm)
        self.verifiers = find_verifiers(settings.verify if verify is None else verify)
        self._lines = different_texts(Path(settings.texts))
        texts = list(self._lines)
        if len(texts) < settings.batch + settings.held_out:
            raise LlasaError(
                f"{settings.texts} has {len(texts)} different texts, too few for batches of "
                f"{settings.batch} and {settings.held_out} held out: give more."
            )
        self.texts = texts[: len(texts) - settings.held_out]
        self.held_out = texts[len(self.texts) :]
        torch.manual_seed(settings.run.seed)
        self.llama = load_llama(self.files.lm).to(self.device)
        self.reference: Llama | None = None
        """The model where it began, if it is held to that."""
        if settings.beta:
            self.reference = load_llama(self.files.lm).to(self.device).requires_grad_(False)
        self.codec = Codec.load(self.files.codec, self.device)
        check_fit(self.vocabulary, self.llama.config.vocab_size, self.codec)
        codes = torch.arange(self.vocabulary.speech_start, self.vocabulary.size)
        self.columns = torch.cat([codes, torch.tensor([self.vocabulary.end])]).to(self.device)
        """Ids that can be sampled: codes, and the end."""
        self.optimizers = settings.optimizer.build(self.llama, self.llama.model.layers)
        self.finished = restore(Path(settings.run.out), self.llama, self.optimizers)
        self._check_texts()

    def batch(self, step: int) -> list[int]:
        """Numbers of the texts of a step: all once an epoch, in an order that repeats."""
        count = self.settings.batch
        epoch, place = divmod(step, len(self.texts) // count)
        order = np.random.default_rng((self.settings.run.seed, epoch)).permutation(len(self.texts))
        found: list[int] = order[place * count : (place + 1) * count].tolist()
        return found

    def step(self, batch: list[int]) -> Values:
        rate = self.set_rate(self.optimizers)
        tts = self._speaker()
        groups = [
            self._takes(tts, self.texts[index], mix(self.settings.run.seed, self.finished, index))
            for index in batch
        ]
        rewards = np.array([[take.reward for take in group] for group in groups])
        takes = [take for group in groups for take in group]
        advantage = torch.from_numpy(advantages(rewards).reshape(-1)).float().to(self.device)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.llama.train()
        tokens = sum(len(take.answer) for take in takes)
        loss, divergence = 0.0, 0.0
        for some in slices(takes, self.settings.tokens):
            part, gone = self._learn(takes[some], advantage[some], tokens)
            loss, divergence = loss + part, divergence + gone
        norm = nn.utils.clip_grad_norm_(self.llama.parameters(), self.settings.optimizer.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        values: Values = {
            "loss": loss,
            "reward": float(rewards.mean()),
            "best": float(rewards.max(1).mean()),
            "rate": rate,
            "grad_norm": norm,
            "tokens": float(tokens),
        }
        return values | ({"kl": divergence} if self.reference is not None else {})

    def _learn(self, takes: Sequence[Take], advantage: Tensor, tokens: int) -> tuple[float, float]:
        """Add the gradient of some takes; their share of the loss and divergence of all tokens."""
        ids, answered = rows(takes, self.device)
        with self.precision():
            logp = self._logprobs(self.llama, ids, answered)
            before = logp.detach()
            if self.reference is not None:
                with torch.no_grad():
                    before = self._logprobs(self.reference, ids, answered)
        owner = answered.nonzero()[:, 0]
        loss, divergence = policy_loss(logp, before, advantage[owner], self.settings.beta)
        share = len(owner) / tokens
        (loss * share).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()) * share, float(divergence) * share

    def evaluate(self, log: Log) -> None:
        """Mean reward of one take of each held-out text, with the same seeds every time."""
        if self.held_out:
            tts = self._speaker()
            found = [self._takes(tts, text, n, 1)[0].reward for n, text in enumerate(self.held_out)]
            log.write(self.finished, {"valid/reward": float(np.mean(found))})

    def save(self) -> None:
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        state = {"model": self.llama.state_dict(), "optimizers": optimizers}
        self.write_checkpoint(state, self._write)

    def _write(self, folder: Path) -> None:
        save_llama(self.llama, folder)
        self.vocabulary.save(folder)

    def _speaker(self) -> Llasa:
        """The model as it is now, ready to speak."""
        codes = range(self.vocabulary.speech_start, self.vocabulary.size)
        self.llama.eval()
        engine = TorchEngine(self.llama, codes, [self.vocabulary.end])
        return Llasa(self.files, self.vocabulary, engine, self.codec)

    def _check_texts(self) -> None:
        """`LlasaError` for a text that the model does not speak in one part."""
        tts = self._speaker()
        for text, line in self._lines.items():
            try:
                parts = len(self._request(tts, text, 0).passages)
            except LlasaError as error:
                raise LlasaError(f"{self.settings.texts}, line {line}: {error}") from error
            if parts > 1:
                raise LlasaError(
                    f"{self.settings.texts}, line {line}: the model speaks {text!r} in {parts} "
                    "parts, but a take is one: give them a line each."
                )

    def _request(self, tts: Llasa, text: str, seed: int) -> Request:
        voice = RANDOM if tts.capabilities.lm_clones else None
        rule: Any = {"temperature": self.settings.temperature, "top_k": 0, "top_p": 1.0}
        rule |= {"min_p": 0.0, "repetition_penalty": 1.0, "seed": seed % 2**31}
        return tts.request(text, voice=voice, **rule)

    def _takes(self, tts: Llasa, text: str, seed: int, count: int | None = None) -> list[Take]:
        """A group of takes of a text, spoken in one part."""
        task = tts.task(self._request(tts, text, seed))
        group = plan("best-of", count or self.settings.group, verify=self.verifiers)
        takes = group(task).candidates
        scores = [_score(take) for take in takes]
        least = min([self.settings.failed, *(score for score in scores if score is not None)])
        return [
            Take(task.prompt, self._answer(take), least if score is None else score)
            for take, score in zip(takes, scores, strict=True)
        ]

    def _answer(self, take: Candidate) -> list[int]:
        """The tokens of a take, with the end that it came to."""
        found: list[int] = self.vocabulary.named_ids(take.codes, take.phones).tolist()
        return [*found, self.vocabulary.end] if take.finish == "stop" else found

    def _logprobs(self, llama: Llama, ids: Tensor, answered: Tensor) -> Tensor:
        """Log-probability of each answered token, (tokens,), as it was sampled."""
        hidden = llama.hidden(ids)[:, :-1][answered]
        logits = llama.logits(hidden, self.columns).float() / self.settings.temperature
        targets = ids[:, 1:][answered]
        places = targets - self.vocabulary.speech_start
        places = torch.where(targets == self.vocabulary.end, len(self.columns) - 1, places)
        return logits.log_softmax(-1).gather(1, places[:, None])[:, 0]


def _score(take: Candidate) -> float | None:
    """What the verifiers give a take; None where it was cut off or one could not judge it."""
    scores = [*take.scores.values()]
    good = take.finish == "stop" and bool(scores) and bool(np.isfinite(scores).all())
    return float(sum(scores)) if good else None


def advantages(rewards: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each reward (texts, group) lies from the mean of its group, in its spreads.

    0 in a group whose rewards are all alike: there is nothing to learn from it.
    """
    middle = rewards - rewards.mean(1, keepdims=True)
    spread = rewards.std(1, keepdims=True)
    return np.where(spread > SPREAD, middle / np.maximum(spread, SPREAD), 0.0)


def policy_loss(
    logp: Tensor, reference: Tensor, advantage: Tensor, beta: float
) -> tuple[Tensor, Tensor]:
    """Loss over all tokens of a step, and the estimated divergence from the start.

    Args:
        logp, reference: log-probabilities of the tokens (n,) now and at the start.
        advantage: that of each token's take (n,).
        beta: weight of the divergence (the unbiased estimator of Schulman, as in the GRPO paper).
    """
    gone = reference - logp
    divergence = (gone.exp() - gone - 1).mean()
    gained = advantage * (logp - logp.detach()).exp()
    return beta * divergence - gained.mean(), divergence.detach()


def slices(takes: Sequence[Take], tokens: int) -> list[slice]:
    """Takes in their order, each slice with up to so many tokens once padded; or a single take."""
    found, start, width = [], 0, 0
    for place, take in enumerate(takes):
        width = max(width, length := len(take.prompt) + len(take.answer))
        if place > start and width * (place - start + 1) > tokens:
            found.append(slice(start, place))
            start, width = place, length
    return [*found, slice(start, len(takes))]


def rows(takes: Sequence[Take], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids (takes, length), padded on the right, and which positions predict an answered token.

    The second is (takes, length - 1), boolean.
    """
    width = max(len(take.prompt) + len(take.answer) for take in takes)
    ids = torch.zeros(len(takes), width, dtype=torch.long)
    answered = torch.zeros(len(takes), width - 1, dtype=torch.bool)
    for line, take in enumerate(takes):
        begin = len(take.prompt)
        end = begin + len(take.answer)
        ids[line, :end] = torch.tensor([*take.prompt, *take.answer])
        answered[line, begin - 1 : end - 1] = True
    return ids.to(device), answered.to(device)


def train_grpo(settings: GRPOTraining) -> None:
    """Train or go on training; see ``GRPOTraining``."""
    GRPOTrainer(settings).train()
