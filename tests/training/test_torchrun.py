"""Two processes under torchrun do what one does over the joint batch, and resume each other."""

from __future__ import annotations

import math
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

from llasa.lm.checkpoint import load_llama
from llasa.training.checkpoint import checkpoints, load_state
from llasa.training.codec.trainer import train_codec
from llasa.training.lm.trainer import train_lm
from llasa.training.sharded import is_sharded

from .tools import IN_ONE, IN_TWO, codec_settings, lm_settings, losses, same_end, write_pairs
from .torchrun import torchrun

pytestmark = [pytest.mark.slow, pytest.mark.torchrun]
STEPS = 4


class Runs:
    """Settings of the runs of one folder; `parts` is what one process does in a step."""

    def __init__(self, folder: Path, clips: Path, words: Path, tokens: Path) -> None:
        self.folder, self.clips, self.words, self.tokens = folder, clips, words, tokens

    def codec(self, name: str, parts: int, **changes: Any) -> Any:
        """Dropout is drawn by each process, so there is none; the start is a common codec."""
        return codec_settings(
            self.clips,
            self.folder / name,
            **{
                "run": {"steps": STEPS},
                "data": {"batch": 2 * parts},
                "codec": {"dropout": 0.0},
                "init": str(self.folder / "init" / "step-00000001"),
                **changes,
            },
        )

    def lm(self, name: str, parts: int) -> Any:
        return lm_settings(
            self.words,
            self.tokens,
            self.folder / name,
            run={"steps": STEPS, "eval_every": 2},
            data={"valid": [str(self.tokens)]},
            optimizer={"accumulate": parts, "muon": True},
            alignment={"weight": 0.5, "until": 3, "layer": 1},
            phones={"weight": 0.5, "layer": 0, "symbols": list("abcdefghijklmnopqrstuvwxyz")},
        )

    def shared(self, name: str, tokens: int) -> Any:
        """Codes that share parts; every step sees all rows, in as many batches as `tokens` make."""
        return lm_settings(
            self.words,
            self.tokens,
            self.folder / name,
            run={"steps": STEPS},
            data={"tokens": tokens},
            code_levels=[4, 4, 4],
        )

    def paired(self, name: str, tokens: int, batch: int, bf16: bool = False) -> Any:
        """Pairs of takes; every step sees all rows and all pairs."""
        pairs = write_pairs(self.folder / "pairs.jsonl", ["the fox", "a dog runs", "it", "lazy"])
        return lm_settings(
            self.words,
            self.tokens,
            self.folder / name,
            run={"steps": STEPS, "bf16": bf16},
            data={"tokens": tokens},
            init=str(self.folder / "lm-one" / "step-00000002"),
            preference={"pairs": [str(pairs)], "weight": 1.0, "beta": 0.5, "batch": batch},
        )

    def launch(self, runs: list[tuple[Any, Path | None]]) -> None:
        """Train (settings, checkpoint to go on from) one after another with two processes."""
        described = [{"settings": s, "after": after and str(after)} for s, after in runs]
        for seconds in (300, 900):
            done, error = torchrun(2, described, self.folder, seconds=seconds)
            if done is not None:
                break
            # Seen with gdb: gloo waits for ever in ~UnboundBuffer (torch 2.13), rarely, under load.
            warnings.warn("torchrun hung and is started again", stacklevel=2)
            for settings, _ in runs:
                shutil.rmtree(settings.run.out, ignore_errors=True)
        assert done == 0, error[-4000:]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, clips: Path, words: Path, tokens: Path) -> Runs:
    """The runs of one process, and those that torchrun makes."""
    made = Runs(tmp_path_factory.mktemp("runs"), clips, words, tokens)
    folder = made.folder
    train_codec(made.codec("init", 1, init=None, run={"steps": 1}, ema=0.0))
    train_codec(made.codec("codec-one", 2))
    train_lm(made.lm("lm-one", 2))
    train_lm(made.shared("shared-one", IN_ONE))
    train_lm(made.paired("pairs-one", IN_ONE, 4))
    made.launch(
        [
            (made.codec("codec-two", 1), None),
            (made.codec("codec-again", 1), folder / "codec-two" / "step-00000002"),
            (made.lm("lm-two", 1), None),
            (made.lm("lm-again", 1), folder / "lm-two" / "step-00000002"),
            (made.lm("lm-from-one", 1), folder / "lm-one" / "step-00000002"),
            (made.shared("shared-two", IN_TWO), None),
            (made.shared("shared-again", IN_TWO), folder / "shared-two" / "step-00000002"),
            (made.paired("pairs-two", IN_TWO, 2), None),
            (made.paired("pairs-low", IN_TWO, 2, bf16=True), None),
        ]
    )
    return made


def close(one: Path, other: Path, but: tuple[str, ...] = ()) -> None:
    """Equal losses up to the order of sums, at the steps that both have."""
    first, second = losses(one), losses(other)
    assert first.keys() & second.keys() >= {3, 4}
    for step in first.keys() & second.keys():
        assert first[step].keys() == second[step].keys()
        for name in first[step].keys() - set(but):
            expected = pytest.approx(second[step][name], rel=1e-4)
            assert first[step][name] == expected, (step, name)


def test_codec(runs: Runs) -> None:
    folder = runs.folder
    two = folder / "codec-two"
    # Each process counts the codes of its own half; all else is the same.
    close(two, folder / "codec-one", but=("code_use",))
    for name in ("codec-two", "codec-again"):
        sums = [(folder / name / f"worker-{rank}.txt").read_text() for rank in (0, 1)]
        assert sums[0] == sums[1]
    assert len(losses(two)) == STEPS
    log = folder / "codec-again" / "log.jsonl"  # lacks what the resumed run did not do itself
    before = (two / "log.jsonl").read_text().splitlines(keepends=True)[:2]
    log.write_text("".join(before) + log.read_text())
    same_end(folder / "codec-again", two)


def test_language_model(runs: Runs) -> None:
    """Sharded (FSDP2) over two processes, or one that adds up two parts."""
    folder = runs.folder
    two = folder / "lm-two"
    close(two, folder / "lm-one")
    whole = losses(two)
    assert len(whole) == STEPS
    assert losses(folder / "lm-again") == {step: whole[step] for step in (3, 4)}
    close(folder / "lm-from-one", two)
    step, checkpoint = checkpoints(two)[0]
    assert step == 2
    shutil.copytree(checkpoint, folder / "lm-back" / checkpoint.name)
    train_lm(runs.lm("lm-back", 2))
    close(folder / "lm-back", two)


def test_codes_that_share_parts(runs: Runs) -> None:
    """Two processes with a batch each, of unequal size, take the steps of one with all rows."""
    one, two = runs.folder / "shared-one", runs.folder / "shared-two"
    close(one, two)
    for (_, a), (_, b) in zip(checkpoints(one), checkpoints(two), strict=True):
        first, second = load_state(a)["model"], sharded_state(b, runs.folder)["model"]
        assert first.keys() == second.keys()
        for name, value in first.items():
            torch.testing.assert_close(value, second[name], rtol=0, atol=1e-5, msg=name)
        weights = [load_llama(folder).state_dict() for folder in (a, b)]
        assert weights[0].keys() == weights[1].keys()
    whole = losses(two)
    assert losses(runs.folder / "shared-again") == {step: whole[step] for step in (3, 4)}


def sharded_state(checkpoint: Path, work: Path) -> dict[str, Any]:
    """The whole state of a checkpoint of several processes, put together by torch's own tool."""
    assert is_sharded(checkpoint)
    dcp_to_torch_save(checkpoint / "state", work / "whole.pt")
    return dict(torch.load(work / "whole.pt", weights_only=False))


def test_pairs_of_takes(runs: Runs) -> None:
    """Two processes score and learn half of the pairs each."""
    close(runs.folder / "pairs-two", runs.folder / "pairs-one")
    for name in ("pairs-two", "pairs-low"):  # in the arithmetic of the training
        assert losses(runs.folder / name)[1]["preference"] == pytest.approx(math.log(2), abs=1e-5)
