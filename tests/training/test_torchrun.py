"""Two processes under torchrun do what one does over the joint batch, and resume each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import llasa
from llasa.training.checkpoint import checkpoints
from llasa.training.codec import train_codec
from llasa.training.config import as_dict
from llasa.training.lm import train_lm

from .tools import codec_settings, lm_settings, losses, same_end

pytestmark = pytest.mark.torchrun
STEPS = 4


def launch(folder: Path, kind: str, runs: list[tuple[Any, Path | None]]) -> None:
    """Train runs (settings, checkpoint to start after) with two processes."""
    described = []
    for number, (settings, after) in enumerate(runs):
        path = folder / f"{number}.yaml"
        path.write_text(yaml.safe_dump(as_dict(settings)))
        described.append({"kind": kind, "settings": str(path), "after": after and str(after)})
    (folder / "runs.json").write_text(json.dumps(described))
    worker = Path(__file__).parent / "worker.py"
    source = Path(llasa.__file__).parents[1]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", worker, folder / "runs.json"),
        ],
        env={**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def close(one: Path, other: Path, but: tuple[str, ...] = ()) -> None:
    """Equal losses up to the order of sums."""
    first, second = losses(one), losses(other)
    assert first.keys() == second.keys()
    for step, values in first.items():
        assert values.keys() == second[step].keys()
        for name in values.keys() - set(but):
            assert values[name] == pytest.approx(second[step][name], rel=1e-4), (step, name)


def checkpoint(run: Path, step: int) -> Path:
    return dict(checkpoints(run))[step]


def test_codec(tmp_path: Path, clips: Path) -> None:
    start = codec_settings(clips, tmp_path / "start", run={"steps": 1}, ema=0.0)
    train_codec(start)
    init = str(checkpoint(tmp_path / "start", 1))

    def settings(name: str, batch: int) -> Any:
        return codec_settings(
            clips, tmp_path / name, run={"steps": STEPS}, data={"batch": batch}, init=init
        )

    train_codec(settings("one", 4))
    launch(
        tmp_path,
        "codec",
        [
            (settings("two", 2), None),
            (settings("again", 2), tmp_path / "two" / "step-00000002"),
            (settings("from-one", 2), checkpoint(tmp_path / "one", 2)),
        ],
    )
    for name in ("two", "again", "from-one"):
        sums = [(tmp_path / name / f"worker-{rank}.txt").read_text() for rank in (0, 1)]
        assert sums[0] == sums[1]
    # Each process sees codes of its own half; all else is the same.
    close(tmp_path / "two", tmp_path / "one", but=("code_use",))
    (tmp_path / "again" / "log.jsonl").write_text(
        "".join((tmp_path / "two" / "log.jsonl").read_text().splitlines(True)[:2])
        + (tmp_path / "again" / "log.jsonl").read_text()
    )
    same_end(tmp_path / "again", tmp_path / "two")
    assert losses(tmp_path / "from-one").keys() == {3, 4}
    for step, values in losses(tmp_path / "from-one").items():
        expected = losses(tmp_path / "one")[step]["loss"]
        assert values["loss"] == pytest.approx(expected, rel=1e-4)


def test_language_model(tmp_path: Path, words: Path, tokens: Path) -> None:
    """Sharded (FSDP2) over two processes, or one that adds up two parts."""

    def settings(name: str, accumulate: int) -> Any:
        return lm_settings(
            words,
            tokens,
            tmp_path / name,
            run={"steps": STEPS, "eval_every": 2},
            data={"valid": [str(tokens)]},
            optimizer={"accumulate": accumulate},
            alignment={"weight": 0.5, "until": 3, "layer": 1},
        )

    train_lm(settings("one", 2))
    launch(
        tmp_path,
        "lm",
        [
            (settings("two", 1), None),
            (settings("again", 1), tmp_path / "two" / "step-00000002"),
            (settings("from-one", 1), checkpoint(tmp_path / "one", 2)),
        ],
    )
    close(tmp_path / "two", tmp_path / "one")
    back = tmp_path / "back"
    back.mkdir()
    checkpoint(tmp_path / "two", 2).rename(back / "step-00000002")
    train_lm(settings("back", 2))
    whole = losses(tmp_path / "two")
    assert losses(tmp_path / "again") == {step: whole[step] for step in (3, 4)}
    for name in ("back", "from-one"):
        found = losses(tmp_path / name)
        assert found.keys() == {3, 4}
        for step, values in found.items():
            assert values["loss"] == pytest.approx(whole[step]["loss"], rel=1e-4)
