"""A draft head learns from the model's own speech, and the model speaks the same with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import llasa
from llasa.base.errors import LlasaError
from llasa.lm.draft_head import DraftHead, HeadDrafter, load_draft_head, save_draft_head
from llasa.lm.torch import TorchEngine
from llasa.models.folder import DRAFT, ModelConfig
from llasa.training.config import build
from llasa.training.lm.draft import DraftTrainer, DraftTraining, train_draft
from tests.tiny_model import write_tiny_model

TEXTS = [f"The lazy dog jumps over {word}." for word in ("me", "you", "him", "her", "us", "them")]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model", ModelConfig("tiny", cloning=False), ends=0.7)


def settings(tmp_path: Path, model: Path, run: str = "run", **changes: Any) -> DraftTraining:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS))
    steps = {"out": str(tmp_path / run), "steps": 4, "device": "cpu", "eval_every": 2}
    values = {"texts": str(texts), "model": str(model), "batch": 16, "run": steps, **changes}
    return build(DraftTraining, values)


def test_it_learns_and_is_written_into_the_model_folder(tmp_path: Path, model: Path) -> None:
    before = llasa.load(model)(TEXTS[0], seed=3, force=True)
    path = train_draft(settings(tmp_path, model))
    assert path == model / DRAFT
    tts = llasa.load(model)
    assert isinstance(tts.engine, TorchEngine)
    assert isinstance(tts.engine.drafter, HeadDrafter)
    np.testing.assert_array_equal(tts(TEXTS[0], seed=3, force=True).codes, before.codes)


def test_the_loss_falls(tmp_path: Path, model: Path) -> None:
    job = DraftTrainer(settings(tmp_path, model))
    batch = job.batch(0)
    losses = [job.step(batch)["loss"] for _ in range(30)]
    assert losses[-1] < losses[0]


def test_a_run_goes_on_as_it_would_have(tmp_path: Path, model: Path) -> None:
    schedule = {"kind": "wsd", "warmup": 0, "decay": 0}
    whole = DraftTrainer(settings(tmp_path, model, "whole", schedule=schedule))
    whole.train()
    parts = settings(tmp_path, model, "parts", schedule=schedule)
    parts.run.steps = 2
    DraftTrainer(parts).train()
    parts.run.steps = 4
    again = DraftTrainer(parts)
    assert again.finished == 2
    again.train()
    for one, other in zip(whole.head.parameters(), again.head.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_what_cannot_be_used_is_refused(tmp_path: Path, model: Path) -> None:
    with pytest.raises(LlasaError, match="model folder of your own"):
        DraftTrainer(settings(tmp_path, Path("nano")))
    with pytest.raises(LlasaError, match="fewer than a batch of 4096"):
        DraftTrainer(settings(tmp_path, model, batch=4096))
    save_draft_head(DraftHead(7, 7), model / DRAFT)
    with pytest.raises(LlasaError, match="states of 7 numbers"):
        llasa.load(model)
    (model / DRAFT).write_bytes(b"x" * 30)
    with pytest.raises(LlasaError, match="damaged or cut off"):
        load_draft_head(model / DRAFT)
