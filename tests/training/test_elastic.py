"""Runs that change the number of their processes, and lose some, learn as if nothing happened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from llasa.base.errors import LlasaError
from llasa.lm.checkpoint import load_llama
from llasa.training.checkpoint import checkpoints
from llasa.training.lm.settings import LMTraining
from llasa.training.lm.trainer import LMTrainer, train_lm
from llasa.training.sharded import is_sharded
from llasa.vocabulary.rows import IGNORE

from .tools import lm_settings, losses
from .torchrun import torchrun

STEPS = 8
PARTS = 4
"""Batches of rows that make one step."""
TOKENS = 150


def settings(words: Path, tokens: Path, out: Path, **changes: Any) -> LMTraining:
    values: dict[str, Any] = {
        "run": {"steps": STEPS},
        "data": {"tokens": TOKENS, "global_tokens": PARTS * TOKENS},
        **changes,
    }
    return lm_settings(words, tokens, out, **values)


def train_with(count: int, run: dict[str, Any], folder: Path, restarts: int = 0) -> None:
    """Train with so many processes."""
    status, said = torchrun(count, [run], folder, restarts)
    assert status == 0, said[-4000:]


def close(run: Path, whole: Path, steps: Sequence[int]) -> None:
    """Equal losses at these steps, up to the order of sums."""
    found, expected = losses(run), losses(whole)
    for step in steps:
        assert found[step]["tokens"] == expected[step]["tokens"]  # of the very same rows
        for name, value in expected[step].items():
            assert found[step][name] == pytest.approx(value, rel=1e-4), (step, name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, words: Path, tokens: Path) -> Path:
    """A run of one process that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train_lm(settings(words, tokens, out))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3, 4])
def test_processes_share_out_the_rows_of_one(
    tmp_path: Path, words: Path, tokens: Path, world: int
) -> None:
    """Each row once and in the order of one process; those left over have nothing to learn."""
    trainer = LMTrainer(settings(words, tokens, tmp_path))
    alone = [learnt(trainer.batch(step)) for step in range(6)]
    trainer.workers.world = world
    for step in range(6):
        shared, passes = [], set()
        for rank in range(world):
            trainer.workers.rank = rank
            batches = trainer.batch(step)
            passes.add(len(batches))
            shared += learnt(batches)
        assert sorted(shared) == sorted(alone[step])
        assert len(passes) == 1


@pytest.mark.slow
def test_position_survives_another_batch(tmp_path: Path, words: Path, tokens: Path) -> None:
    """Steps that learn from more at once go on where the smaller ones ended."""
    small = {"accumulate": 1}
    train_lm(lm_settings(words, tokens, tmp_path, run={"steps": 3}, optimizer=small))
    larger = lm_settings(words, tokens, tmp_path, run={"steps": 5}, optimizer={"accumulate": 2})
    again = LMTrainer(larger)
    one = LMTrainer(lm_settings(words, tokens, tmp_path / "other", optimizer=small))
    assert again.position == 3
    following = [row for step in (3, 4, 5, 6) for row in learnt(one.batch(step))]
    assert [row for step in (3, 4) for row in learnt(again.batch(step))] == following


@pytest.mark.slow
def test_epochs_say_how_long_a_run_is(tmp_path: Path, words: Path, tokens: Path) -> None:
    changes = {"tokens": TOKENS, "epochs": 3.0}
    trainer = LMTrainer(lm_settings(words, tokens, tmp_path, data=changes))
    assert trainer.settings.run.steps == 3 * len(trainer.data.plan(0))


@pytest.mark.slow
def test_epochs_keep_the_size_of_steps(tmp_path: Path, words: Path, tokens: Path) -> None:
    """Other steps would be more or fewer, and the learning rate follows their number."""
    data = {"tokens": TOKENS, "epochs": 1.0}
    whole = lm_settings(words, tokens, tmp_path, data=data, optimizer={"accumulate": 2})
    trainer = LMTrainer(whole)
    steps = trainer.settings.run.steps
    trainer.step(trainer.batch(0))
    trainer.finished = 1
    trainer.save()
    again = LMTrainer(whole)
    assert (again.finished, again.settings.run.steps) == (1, steps)
    for change, parts in (({"optimizer": {"accumulate": 3}}, 3), ({}, 1)):
        with pytest.raises(LlasaError, match=f"learnt from 2 batches, but now would from {parts}"):
            LMTrainer(lm_settings(words, tokens, tmp_path, data=data, **change))
    said = lm_settings(words, tokens, tmp_path, data={**data, "global_tokens": 2 * TOKENS})
    assert LMTrainer(said).settings.run.steps == steps


def learnt(batches: Sequence[Any]) -> list[tuple[int, ...]]:
    """What each row is to learn."""
    rows = [tuple(line[line != IGNORE].tolist()) for part in batches for line in part.labels]
    return [row for row in rows if row]


@pytest.mark.slow
@pytest.mark.torchrun
def test_one_two_four_one(tmp_path: Path, words: Path, tokens: Path, whole: Path) -> None:
    """Two steps with each number of processes; each reads what the one before has written."""
    out = tmp_path / "run"
    later = {"async_save": True}
    for steps, count in ((2, 1), (4, 2), (6, 4), (8, 1)):
        run = {"steps": steps, "save_every": 2}
        # Two copies of two shards each, where there are four processes.
        parallel = {"shard": 2, "sync": "each", **later} if count == 4 else later
        now = settings(words, tokens, out, run=run, parallel=parallel)
        if count == 1:
            train_lm(now)
        else:
            train_with(count, {"settings": now}, tmp_path)
        assert is_sharded(checkpoints(out)[-1][1]) == (count > 1)
    close(out, whole, range(1, STEPS + 1))
    one, other = (load_llama(checkpoints(run)[-1][1]).state_dict() for run in (out, whole))
    for name, value in one.items():
        assert (value - other[name]).abs().max() < 1e-4, name


@pytest.mark.slow
@pytest.mark.torchrun
def test_killed_processes(tmp_path: Path, words: Path, tokens: Path, whole: Path) -> None:
    """Under --max-restarts, losses are those of a run that nobody disturbed."""
    out, kills = tmp_path / "run", [[1, 3], [0, 5]]
    run = {"save_every": 1, "steps": STEPS, "keep": 2}
    now = settings(words, tokens, out, run=run, parallel={"async_save": True})
    held = tmp_path / "held.json"
    train_with(2, {"settings": now, "kills": kills, "held": str(held)}, tmp_path, restarts=6)
    close(out, whole, range(1, STEPS + 1))
    model = load_llama(checkpoints(out)[-1][1])
    share = 4 * sum(p.numel() for p in model.parameters()) / 2
    found = json.loads(held.read_text())
    assert found == pytest.approx({"weights": share, "gradients": share, "optimizer": 2 * share})
