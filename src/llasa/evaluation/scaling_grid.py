"""Runs a grid of model sizes and shares of the data: trains each, has it speak, and scores it.

    out: runs/scaling            # a folder for each run, and the report
    base: lm.yaml                # settings of llasa train lm that all runs share
    models:                      # what is different in each: settings, laid over those of base
      1M: {model: {hidden_size: 96, ...}, optimizer: {rate: 3.0e-3}}
    shares: [0.333, 0.667, 1]    # of the shards that base names in data.train
    codec: nano                  # speaks the codes
    sentences: heldout.jsonl     # what is spoken and judged; without it only the loss is measured

`base` counts from the grid's folder, other paths from where the command runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from llasa.audio.audio import Audio
from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import make_folder, read_bytes, read_json, write_json
from llasa.base.names import check_name
from llasa.data.shards import ShardMeta, TokenDataset, finished_shards, shard_path
from llasa.evaluation.experiment import Experiment, machine
from llasa.evaluation.items import choose, read_items
from llasa.evaluation.judges import Judges
from llasa.evaluation.report import ALL, Report
from llasa.evaluation.statistics import Estimate
from llasa.evaluation.tts import SYNTHESIS, evaluate_tts, speaker
from llasa.evaluation.understanding import AGAIN, Probe, evaluate_understanding, read_probes
from llasa.evaluation.understanding_report import score_all
from llasa.lm.checkpoint import load_llama
from llasa.models.find import find_lm
from llasa.training.checkpoint import checkpoints
from llasa.training.config import as_dict, load_settings
from llasa.training.lm.data import LMBatches
from llasa.training.lm.settings import LMTraining
from llasa.training.lm.trainer import train_lm
from llasa.training.log import LOG_FILE
from llasa.tts.llasa import Llasa
from llasa.verifiers.registry import missing_packages
from llasa.vocabulary.vocabulary import Vocabulary

RESULT, SETTINGS = "result.json", "settings.json"
LOSS = "valid/loss"
UNDERSTOOD = "understanding"
"""Measure of text understanding: the mean of the categories' scores."""


@dataclass
class ScalingGrid:
    """Settings of ``llasa study scaling``.

    ``shares`` are nested: a smaller one is part of a larger one. Each run goes over its share
    ``epochs`` times. ``limit`` sentences are spoken, with ``sampling`` (such as temperature) and
    each up to ``max_seconds``, and judged by ``judges`` (by default Whisper, and DistillMOS where
    it is installed); ``understanding`` is a list for ``llasa eval understanding``.
    """

    out: str
    base: str
    models: dict[str, Any]
    shares: list[float] = field(default_factory=lambda: [1 / 3, 2 / 3, 1.0])
    epochs: float = 1.0
    codec: str | None = None
    sentences: str | None = None
    limit: int | None = None
    judges: str | None = None
    max_seconds: float = 20.0
    sampling: dict[str, Any] = field(default_factory=dict)
    understanding: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.models or not self.shares:
            raise LlasaError("A grid needs models and shares.")
        for name, settings in self.models.items():
            check_name(name, "name of a model")
            if not isinstance(settings, dict):
                raise LlasaError(f"models.{name} must hold settings, such as model: {{...}}.")
        if not all(0 < share <= 1 for share in self.shares):
            raise LlasaError(f"Shares are above 0 and at most 1, not {self.shares}.")
        if len({cell.name for cell in self.cells}) < len(self.cells):
            raise LlasaError(f"Shares must differ by at least one percent: {self.shares}.")
        if self.epochs <= 0 or self.max_seconds <= 0:
            raise LlasaError("epochs and max_seconds must be above 0.")
        if (self.sentences or self.understanding) and not self.codec:
            raise LlasaError("A grid whose models speak needs the codec of their tokens.")
        if self.judges is None:
            mos = [] if missing_packages("distillmos") else ["distillmos"]
            self.judges = ",".join(["whisper", *mos])

    @property
    def cells(self) -> list[Cell]:
        """All runs, in the order in which the grid names models and shares."""
        return [Cell(self, model, share) for share in self.shares for model in self.models]


@dataclass(frozen=True)
class Cell:
    """One run of a grid."""

    grid: ScalingGrid
    model: str
    share: float

    @property
    def name(self) -> str:
        return f"{self.model}-{round(100 * self.share):03d}"

    @property
    def folder(self) -> Path:
        return Path(self.grid.out) / self.name

    def settings(self) -> LMTraining:
        """Those of the trainer, the number of steps included."""
        grid = self.grid
        out = f"run.out={json.dumps(str(self.folder / 'lm'))}"
        overrides = [*_overrides(grid.models[self.model]), out]
        settings = load_settings(LMTraining, grid.base, overrides)
        if not settings.data.valid:
            raise LlasaError(f"{grid.base} has no data.valid: losses are those of held-out rows.")
        folder = Path(grid.out) / "data" / f"{round(100 * self.share):03d}"
        settings.data.train = [str(share_of(settings.data.train, self.share, folder, grid.seed))]
        settings.run.steps = self._steps(settings)
        settings.run.eval_every = settings.run.steps
        return settings

    def _steps(self, settings: LMTraining) -> int:
        vocabulary = Vocabulary.load(find_lm(settings.vocabulary))
        tokens = TokenDataset(*settings.data.train)
        batches = LMBatches(settings.data, tokens, vocabulary, settings.run.seed)
        accumulate = settings.optimizer.accumulate
        return max(1, math.ceil(self.grid.epochs * len(batches.plan(0)) / accumulate))


@dataclass(frozen=True)
class Outcome:
    """Result of a run.

    tokens: codes of speech that it was trained on, repetitions included; measures by name, those
    of the loss and of judges.
    """

    name: str
    model: str
    share: float
    parameters: int
    tokens: int
    steps: int
    measures: dict[str, Estimate]

    @property
    def loss(self) -> float:
        """Nats a token on held-out rows."""
        return self.measures[LOSS].value


def run_cell(cell: Cell, command: str) -> Outcome:
    """Train and judge one run, or resume it; a finished one is only read."""
    settings = cell.settings()
    spoken = ("codec", "sentences", "limit", "judges", "max_seconds", "sampling", "understanding")
    own = {name: getattr(cell.grid, name) for name in (*spoken, "epochs", "seed")}
    _check_settings(cell.folder, {"training": as_dict(settings), **own})
    path = cell.folder / RESULT
    if (done := read_outcome(path)) is not None:
        return done
    run = Path(settings.run.out)
    if [step for step, _ in checkpoints(run)][-1:] != [settings.run.steps]:
        train_lm(settings)
    lm = checkpoints(run)[-1][1]
    codes = int(TokenDataset(*settings.data.train).lengths().sum())
    measures = {LOSS: _exact(_valid_loss(run / LOG_FILE, settings.run.steps))}
    outcome = Outcome(
        cell.name,
        cell.model,
        cell.share,
        sum(p.numel() for p in load_llama(lm).parameters()),
        round(cell.grid.epochs * codes),
        settings.run.steps,
        measures | _judged(cell, lm, command),
    )
    values = {name: [*value.to_json().values()] for name, value in outcome.measures.items()}
    write_json(path, {**asdict(outcome), "measures": values, "machine": machine()}, indent=1)
    return outcome


def _check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Save the settings of a run; `LlasaError` if it was begun with others."""
    path, plain = make_folder(folder) / SETTINGS, json.loads(json.dumps(settings))
    if path.exists() and read_json(path) != plain:
        raise LlasaError(
            f"{folder} was begun with other settings: remove it, or choose another out."
        )
    write_json(path, plain, indent=1)


def read_outcome(path: Path) -> Outcome | None:
    """Result of a run; None if it is not finished."""
    if not path.exists():
        return None
    found = read_json(path)
    values = {name: found[name] for name in Outcome.__dataclass_fields__}
    measures = {name: _estimate(*numbers) for name, numbers in values.pop("measures").items()}
    return Outcome(**values, measures=measures)


def share_of(sources: Sequence[str], share: float, folder: Path, seed: int) -> Path:
    """A data set of links to a share of the shards of others, drawn by `seed`; the folder itself.

    Raises `LlasaError` where there are too few shards to make so small a share of.
    """
    TokenDataset(*sources)  # refuses what does not belong together
    metas = [ShardMeta.load(Path(source)) for source in sources]
    shards = [
        shard_path(Path(source), number).resolve()
        for source, meta in zip(sources, metas, strict=True)
        for number in finished_shards(Path(source), meta)
    ]
    count = round(share * len(shards))
    if abs(count / max(1, len(shards)) - share) > 0.1 * share:
        raise LlasaError(
            f"{len(shards)} shards cannot be cut to a share of {share:.3g}: give more and smaller "
            "shards, or other shares."
        )
    order = np.random.default_rng(seed).permutation(len(shards))[:count]
    source = f"{count} of {len(shards)} shards of {', '.join(sources)}, seed {seed}"
    whole = {**asdict(metas[0]), "shards": count, "source": source}
    ShardMeta(**whole).save(folder)
    for number, chosen in enumerate(order):
        with suppress(FileExistsError):
            shard_path(folder, number).symlink_to(shards[chosen], target_is_directory=True)
    return folder


def _judged(cell: Cell, lm: Path, command: str) -> dict[str, Estimate]:
    """Scores of a trained model's speech."""
    grid = cell.grid
    found: dict[str, Estimate] = {}
    if not (grid.sentences or grid.understanding):
        return {}
    tts = Llasa.load(lm, grid.codec)
    speaking = {**grid.sampling, "max_seconds": grid.max_seconds}
    shared = {"run": cell.name, "limit": grid.limit, **speaking}
    if grid.sentences:
        items, language = choose(read_items(Path(grid.sentences)), None, grid.limit, "text")
        judges = Judges(grid.judges or "", language)
        run = Experiment(cell.folder / "speech", {**shared, "judges": judges.names}, command)
        speak = speaker(tts, grid.seed, **speaking)
        rows = evaluate_tts(items, speak, tts.codec, judges, run, recordings=False)
        found |= Report(cell.name, run, judges, rows).estimates[ALL][SYNTHESIS]
    if grid.understanding:
        probes = [p for p in read_probes(Path(grid.understanding)) if p.measure != "listen"]
        run = Experiment(cell.folder / UNDERSTOOD, shared, command)
        found[UNDERSTOOD] = _understood(cell, probes, partial(tts, **speaking), run)
    return found


def _understood(cell: Cell, probes: list[Probe], tts: partial[Any], run: Experiment) -> Estimate:
    from llasa.evaluation.hearing import ears

    def speak(probe: Probe, take: str) -> Audio:
        seed = cell.grid.seed + (take == AGAIN)
        return tts(probe.takes[take], language=probe.language, seed=seed).audio

    scores = score_all(probes, evaluate_understanding(probes, {cell.name: speak}, ears, run))
    known = [g[cell.name].score for g in scores.values() if g[cell.name].score.utterances]
    middle = float(np.mean([one.value for one in known])) if known else np.nan
    # Categories are independent of each other.
    spread = [(one.high - one.low) / 2 / len(known) for one in known]
    half = float(np.sqrt(np.square(spread).sum()))
    return Estimate(middle, middle - half, middle + half, sum(one.utterances for one in known))


def _valid_loss(log: Path, step: int) -> float:
    rows = [row for _, row in jsonl.read(read_bytes(log), str(log)) if LOSS in row]
    if not rows or rows[-1]["step"] != step:
        raise LlasaError(f"{log} has no {LOSS} of step {step}: remove the run and train it again.")
    return float(rows[-1][LOSS])


def _estimate(value: float | None, low: float | None, high: float | None, count: int) -> Estimate:
    middle, least, most = (np.nan if n is None else n for n in (value, low, high))
    return Estimate(middle, least, most, count)


def _exact(value: float) -> Estimate:
    return Estimate(value, np.nan, np.nan, 1)


def _overrides(tree: Mapping[str, Any], before: str = "") -> list[str]:
    """A settings tree as ``key.sub=value``."""
    found = []
    for key, value in tree.items():
        name = f"{before}{key}"
        if isinstance(value, dict) and value:
            found += _overrides(value, f"{name}.")
        else:
            found.append(f"{name}={json.dumps(value)}")
    return found
