"""Rounds of search and learning: takes, winners, plain fine-tuning on them, the next model.

Plain fine-tuning on what search chose (rejection sampling, "expert iteration") recovers a good part
of what search gains, at the price of one take. Not in the paper, which keeps search for inference.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from llasa.base.errors import LlasaError
from llasa.base.files import make_folder, only_writer, read_bytes
from llasa.base.names import check_name, number, whole
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import ShardMeta, TokenDataset, shard_path
from llasa.lm.config import read_config
from llasa.models.find import DEFAULT_MODEL, find_model
from llasa.models.folder import is_model_folder
from llasa.models.identity import file_identity, model_identity
from llasa.models.pack import check_target, pack_model
from llasa.models.voice import RANDOM, Voice, voice_files
from llasa.training.auxiliary.alignment import kept_heads
from llasa.training.checkpoint import checkpoints
from llasa.training.distill.takes import choose, speak_takes, suitable, winners
from llasa.training.lm.data import LMBatches, LMDataSettings
from llasa.training.lm.settings import LMOptimizerSettings, LMTraining
from llasa.training.lm.trainer import LMTrainer
from llasa.training.pinned import pin
from llasa.training.settings import RunSettings
from llasa.tts.llasa import Llasa
from llasa.verifiers.registry import find_verifiers
from llasa.vocabulary.vocabulary import Vocabulary

RATES, SMALL = (2.5e-4, 5e-6), 768
"""Peak rates: of models narrower than that, and of others."""
_ELSEWHERE = {"out", "device", "rounds"}
"""Settings that do not change what a round makes."""


@dataclass
class Distilling:
    """Settings of ``llasa distill``.

    Args:
        texts: a file with a text a line.
        out: the model folder to write; the rounds lie beside it, in `out`-run.
        base: the model to begin with.
        rounds: of search and learning; each speaks new texts with the model of the one before and
            learns from the winners of all.
        sentences: texts of a round.
        takes: of a text.
        verify: the verifier that chooses. Others judge (see `llasa.evaluation.distill`).
        good: the least score of a winner.
        held_out: the last texts of the file are never learnt; they are to judge by.
        temperature, top_k: of the takes, in place of the model's: they must differ to choose among.
        epochs: times that the winners are seen in a round.
        rate: peak learning rate.
        tokens: of a batch.
    """

    texts: Path
    out: Path
    base: str = DEFAULT_MODEL
    rounds: int = 2
    sentences: int = 200
    takes: int = 8
    verify: str = "content"
    good: float = -0.1
    held_out: int = 40
    temperature: float | None = None
    top_k: int | None = None
    epochs: float = 2.0
    rate: float | None = None
    tokens: int = 4096
    seed: int = 0
    device: str | None = None

    def __post_init__(self) -> None:
        for name in ("rounds", "sentences", "held_out", "tokens"):
            whole(name, getattr(self, name))
        whole("takes", self.takes, 2)
        whole("seed", self.seed, 0)
        number("epochs", self.epochs, 0, above=True)
        if self.rate is not None:
            number("rate", self.rate, 0, above=True)

    @property
    def sampling(self) -> dict[str, Any]:
        """How takes are sampled, where it is not as the model advises."""
        named = {"temperature": self.temperature, "top_k": self.top_k}
        return {name: value for name, value in named.items() if value is not None}


class Distillation:
    """The rounds of one model; each is done once, and goes on where it was interrupted.

    Raises `LlasaError` where there are too few texts, or the work in progress beside `out` was
    begun with other settings.
    """

    def __init__(self, settings: Distilling) -> None:
        self.settings = settings
        self.files = find_model(settings.base)
        check_name(settings.out.resolve().name, "model name")
        check_target(settings.out)
        if len(find_verifiers(settings.verify)) != 1:
            raise LlasaError(f"One verifier chooses, but {settings.verify!r} names another number.")
        lines = read_bytes(settings.texts, "a file of texts").decode("utf-8", "replace")
        learnt = settings.rounds * settings.sentences
        wanted = settings.held_out + learnt
        found = suitable(lines.split("\n"))
        if len(found) < wanted:
            raise LlasaError(
                f"{settings.texts} has {len(found)} different texts of 3 to 25 words, but "
                f"{wanted} are needed ({settings.rounds} rounds of {settings.sentences}, and "
                f"{settings.held_out} to judge by): give more, or fewer rounds or sentences."
            )
        self.held_out = found[-settings.held_out :]
        """Texts to judge by: the last ones of the file."""
        self._texts = choose(found[: -settings.held_out], learnt)
        self.work = make_folder(settings.out.with_name(f"{settings.out.name}-run"))
        with only_writer(self.work):  # who begins at the same moment sees what was pinned
            self._pin()

    def _pin(self) -> None:
        """Refuse work in progress of other settings."""
        own = {k: v for k, v in asdict(self.settings).items() if k not in _ELSEWHERE}
        values = {k: str(v) for k, v in own.items()}
        values["identity"] = model_identity(self.files, {})
        values["texts"] = file_identity(self.settings.texts)
        pin(self.work, values)

    def folder(self, round: int) -> Path:
        """What a round makes, from 1 on."""
        return self.work / f"round-{round}"

    def model(self, round: int) -> str | Path:
        """The model after a round; 0 is the one that it begins with."""
        return self.settings.base if round == 0 else self.folder(round) / "model"

    def voice(self, tts: Llasa) -> Voice | None:
        """Who speaks: the model's default voice, or where it goes on from recordings none."""
        return tts.voice(RANDOM if tts.capabilities.lm_clones else None)

    @cached_property
    def speaker(self) -> str | None:
        """The name that the default voice has in training rows."""
        path = voice_files(*self.files.voices).get(self.files.settings.default_voice or "")
        if path is None or self.files.settings.cloning:
            return None
        return Voice.load(path).speaker

    def run(self, round: int) -> Path:
        """Do a round, unless it is done; returns its model folder."""
        folder = make_folder(self.folder(round))
        if not is_model_folder(folder / "model"):
            self._take(round)
            lm = self._learn(round)
            voices = [Voice.load(path) for path in voice_files(*self.files.voices).values()]
            config = self.files.settings.after_speaking(name=self.settings.out.resolve().name)
            pack_model(lm, self.files.codec, folder / "model", config, voices=voices)
        return folder / "model"

    def finish(self) -> Path:
        """Write the model of the last round to `out`."""
        last = find_model(self.folder(self.settings.rounds) / "model")
        voices = [Voice.load(path) for path in voice_files(*last.voices).values()]
        return pack_model(last.lm, last.codec, self.settings.out, last.settings, voices=voices)

    def _take(self, round: int) -> None:
        """Speak the texts of a round, and write its winners as token shards."""
        own, folder = self.settings, self.folder(round)
        if shard_path(folder / "tokens", 0).is_dir():
            return
        first = (round - 1) * own.sentences
        texts = self._texts[first : first + own.sentences]
        tts = Llasa.load(self.model(round - 1), device=own.device)
        meta = ShardMeta(
            tts.codec.id, tts.codec.codebook_size, float(tts.codec.frame_rate), 1, "takes"
        )
        seeds = [own.seed + first + place for place in range(len(texts))]
        how: Any = {"voice": self.voice(tts), "seeds": seeds, **own.sampling}
        rows = speak_takes(tts, texts, folder / "takes.jsonl", own.takes, own.verify, **how)
        found = list(winners(rows, texts, own.good))
        if not found:
            raise LlasaError(
                f"No take of round {round} scored {own.good:g} or more by {own.verify}: lower good "
                "(--good), make more takes, or take a better model."
            )
        meta.save(folder / "tokens")
        with ShardWriter(folder / "tokens", 0, meta) as writer:
            for said, codes, _, phones in found:
                writer.add(said, np.array(codes, np.int64), self.speaker, phones=phones)

    def _learn(self, round: int) -> Path:
        """Fine-tune on the winners so far; returns the folder of the language model."""
        settings = self.training(round)
        found = checkpoints(Path(settings.run.out))
        if not found or found[-1][0] < settings.run.steps:
            LMTrainer(settings).train()
        return checkpoints(Path(settings.run.out))[-1][1]

    def training(self, round: int) -> LMTraining:
        """Settings of the training run of a round."""
        own, start = self.settings, find_model(self.model(round - 1))
        data = LMDataSettings(
            train=[str(self.folder(n) / "tokens") for n in range(1, round + 1)],
            tokens=own.tokens,
            max_tokens=min(start.settings.max_tokens, LMDataSettings.max_tokens),
            speaker_names=self.speaker is not None,
        )
        vocabulary = Vocabulary.load(start.lm)
        batches = LMBatches(data, TokenDataset(*data.train), vocabulary, own.seed)
        steps = max(1, int(np.ceil(own.epochs * len(batches.plan(0)))))
        small = read_config(start.lm).hidden_size < SMALL
        run = RunSettings(str(self.folder(round) / "lm"), steps, own.seed + round, 10, steps, steps)
        return LMTraining(
            str(start.lm),
            replace(run, keep=1, device=own.device or "auto"),
            data,
            init=str(start.lm),
            full_vocabulary=False,
            checkpointing=not small,
            alignment=kept_heads(start, TokenDataset(*data.train), steps),
            optimizer=LMOptimizerSettings(RATES[not small] if own.rate is None else own.rate),
        )
