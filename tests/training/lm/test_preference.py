"""Preference optimisation: pairs are read with care, and the model prefers what it is told to."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from llasa.base.errors import LlasaError
from llasa.training.checkpoint import checkpoints
from llasa.training.lm.preference import preference_loss
from llasa.training.lm.settings import LMTraining
from llasa.training.lm.trainer import LMTrainer, train_lm

from ..tools import lm_settings, losses, rewound, same_end, write_pairs

pytestmark = pytest.mark.slow

STEPS = 6
TEXTS = ["the fox", "a dog runs", "it jumps over", "lazy", "the quick dog"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", TEXTS)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, words: Path, tokens: Path) -> Path:
    """The model that the runs begin with."""
    out = tmp_path_factory.mktemp("start") / "run"
    train_lm(lm_settings(words, tokens, out, run={"steps": 2}))
    return checkpoints(out)[-1][1]


def settings(words: Path, tokens: Path, out: Path, start: Path, **preference: Any) -> LMTraining:
    values = {"weight": 1.0, "beta": 0.5, "batch": 3, **preference}
    return lm_settings(words, tokens, out, init=str(start), preference=values)


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, words: Path, tokens: Path, start: Path, pairs: Path
) -> Path:
    """Folder of a run that was never interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train_lm(settings(words, tokens, out, start, pairs=[str(pairs)]))
    return out


def test_the_loss_is_that_of_equation_7() -> None:
    now, before = torch.tensor([[3.0, 2.0], [5.0, 9.0]]), torch.tensor([[4.0, 1.0], [4.0, 9.0]])
    loss, right = preference_loss(now, before, beta=0.3)
    # Log-probabilities gained: chosen +1 and -1, rejected -1 and 0.
    expected = [-math.log(1 / (1 + math.exp(-0.3 * gain))) for gain in (2.0, -1.0)]
    assert float(loss) == pytest.approx(sum(expected) / 2)
    assert float(right) == 0.5


def test_the_model_comes_to_prefer_what_was_chosen(whole: Path) -> None:
    log = losses(whole)
    assert log[1]["preference"] == pytest.approx(math.log(2), abs=1e-5)  # nothing has moved yet
    assert log[STEPS]["preference"] < log[2]["preference"] < math.log(2)
    assert log[STEPS]["preferred"] == 1.0


def test_resumed_run_equals_the_whole_one(
    tmp_path: Path, words: Path, tokens: Path, start: Path, pairs: Path, whole: Path
) -> None:
    """What is compared with is the model of the start, not that of the checkpoint."""
    out = rewound(whole, tmp_path / "run", 4)
    train_lm(settings(words, tokens, out, start, pairs=[str(pairs)]))
    same_end(out, whole)


def test_scores_are_log_probabilities_of_whole_takes(
    tmp_path: Path, words: Path, tokens: Path, start: Path, pairs: Path
) -> None:
    """Padding beside longer takes changes nothing."""
    trainer = LMTrainer(settings(words, tokens, tmp_path, start, pairs=[str(pairs)]))
    assert trainer.pairs is not None
    for number, rows in enumerate(trainer.pairs.rows):
        for side, row in enumerate(rows):
            with torch.no_grad():
                hidden = trainer.llama.hidden(torch.as_tensor(row.ids)[None])
                logits = trainer.llama.logits(hidden, slice(0, None))[0]
            first = row.speech_start - 1  # the start of speech is learnt, too
            after = torch.as_tensor(row.ids)[row.speech_start :]
            expected = -logits.log_softmax(-1)[first:-1].gather(1, after[:, None]).sum()
            assert trainer.pairs.reference[side, number] == pytest.approx(float(expected), 1e-4)


def test_each_pair_is_seen_once_an_epoch(
    tmp_path: Path, words: Path, tokens: Path, start: Path, pairs: Path
) -> None:
    trainer = LMTrainer(settings(words, tokens, tmp_path, start, pairs=[str(pairs)]))
    assert trainer.pairs is not None
    seen = [trainer.pairs.batch(index).reference[0] for index in range(6)]
    assert {len(batch) for batch in seen} == {2, 3}
    for epoch in torch.cat(seen).view(3, -1):
        assert sorted(epoch.tolist()) == sorted(trainer.pairs.reference[0].tolist())


GOOD = {"text": "a fox", "chosen": [1, 2], "rejected": [3]}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[1, 2]", "line 2: it is not a JSON object"),
        ("no json", "line 2: it is not valid JSON"),
        (json.dumps({"text": "a fox", "chosen": [1]}), "line 2: give a text and two lists"),
        (json.dumps({**GOOD, "chosen": ["x"]}), "line 2: give a text and two lists"),
        (json.dumps({**GOOD, "chosen": {}}), "line 2: give a text and two lists"),
        (json.dumps({**GOOD, "chosen": [10**30]}), "line 2: "),
        (json.dumps({**GOOD, "chosen": GOOD["rejected"]}), "line 2: both candidates are the same"),
        (json.dumps({**GOOD, "text": "a \ud800 fox"}), "line 2: "),
        (json.dumps({**GOOD, "chosen": []}), "line 2: The utterance has no codes"),
        (json.dumps({**GOOD, "rejected": [64]}), "line 2: .*64"),
        (json.dumps({**GOOD, "rejected": [3] * 300}), "longer than data.max_tokens"),
        (json.dumps({**GOOD, "text": ""}), "line 2: "),
        (json.dumps({**GOOD, "text": 7}), "line 2: "),
        (json.dumps({**GOOD, "chosen": [[1, 2], [3, 4]]}), "line 2: "),
        (json.dumps({**GOOD, "chosen": [1.5, 2]}), "line 2: "),
    ],
)
def test_lines_that_are_no_pairs(
    tmp_path: Path, words: Path, tokens: Path, start: Path, line: str, problem: str
) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text("\ufeff" + json.dumps(GOOD) + "\n" + line + "\n\n")
    with pytest.raises(LlasaError, match=problem):
        LMTrainer(settings(words, tokens, tmp_path / "run", start, pairs=[str(file)]))


def test_files_that_are_no_pairs(tmp_path: Path, words: Path, tokens: Path, start: Path) -> None:
    for name, content, problem in [
        ("missing", None, "does not exist"),
        ("empty", b"\n\n", "No pairs"),
        ("binary", b"\xff\xfe\x00", "line 1: it is not"),
    ]:
        file = tmp_path / name
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(LlasaError, match=problem):
            LMTrainer(settings(words, tokens, tmp_path / "run", start, pairs=[str(file)]))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"preference": {"weight": 0.0}}, r"preference\.weight is 0\.0; give a number above 0"),
        ({"preference": {"beta": 0.0}}, r"preference\.beta is 0\.0; give a number above 0"),
        ({"preference": {"pairs": ["x"]}}, "init, the model that made the pairs"),
    ],
)
def test_settings_that_do_not_go_together(
    tmp_path: Path, words: Path, tokens: Path, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(LlasaError, match=problem):
        lm_settings(words, tokens, tmp_path, **changes)


@pytest.mark.parametrize("change", [("layout", "pack"), ("speaker_names", True)])
def test_other_rows_cannot_be_compared(
    tmp_path: Path, words: Path, tokens: Path, start: Path, pairs: Path, change: tuple[str, Any]
) -> None:
    changed = settings(words, tokens, tmp_path, start, pairs=[str(pairs)])
    setattr(changed.data, *change)
    with pytest.raises(LlasaError, match="use data.layout=bucket"):
        LMTrainer(changed)
