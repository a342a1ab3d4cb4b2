"""Guided attention: low where the text is read in order, high where it is not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from llasa.base.errors import LlasaError
from llasa.data.reader import TokenItem
from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama
from llasa.models.folder import ModelConfig, ModelFiles, ReadingHeads
from llasa.training.auxiliary.alignment import (
    AlignmentSettings,
    guided_attention_loss,
    kept_heads,
)
from llasa.training.lm.batch import Batch
from llasa.training.lm.objective import Objective
from llasa.training.lm.trainer import LMTrainer
from llasa.vocabulary.vocabulary import Vocabulary

from ..tools import LLAMA, lm_settings

TEXT, SPEECH = 10, 20
LENGTH = TEXT + SPEECH
SETTINGS = AlignmentSettings(weight=1.0, width=1.0)


def one_row() -> Batch:
    """Ten text tokens, then twenty of speech."""
    text, speech = torch.full((1, LENGTH), -1.0), torch.full((1, LENGTH), -1.0)
    text[0, :TEXT] = torch.arange(TEXT)
    speech[0, TEXT:] = torch.arange(SPEECH) * TEXT / SPEECH
    ids = torch.zeros(1, LENGTH, dtype=torch.long)
    return Batch(ids, ids, ids, text, speech, ids, ids, None)


def places() -> tuple[Tensor, Tensor, Tensor]:
    """Of the same row, what the loss asks for."""
    row = one_row()
    return row.text, row.speech, row.seen()


def attention_to(places: Tensor, heads: int = 1) -> tuple[Tensor, Tensor]:
    """Queries and keys with which speech frame i looks at text token places[i] alone."""
    k = torch.eye(LENGTH)[None, None]
    q = torch.zeros(1, heads, LENGTH, LENGTH)
    q[0, 0, TEXT:] = torch.eye(LENGTH)[places] * 1000
    return q, k


def test_diagonal_is_cheap_and_antidiagonal_dear() -> None:
    frames = torch.arange(SPEECH)
    diagonal = guided_attention_loss(*attention_to(frames * TEXT // SPEECH), *places(), SETTINGS)
    # Frames look at most half a token behind: (0.5 / 1)² / 2, every other.
    assert float(diagonal) == pytest.approx(0.0625, rel=1e-3)
    reverse = guided_attention_loss(
        *attention_to(TEXT - 1 - frames * TEXT // SPEECH), *places(), SETTINGS
    )
    assert float(reverse) > 10
    even = guided_attention_loss(
        torch.zeros(1, 1, LENGTH, LENGTH), torch.eye(LENGTH)[None, None], *places(), SETTINGS
    )
    assert diagonal < even < reverse


def test_looking_at_speech_is_no_reading() -> None:
    itself = TEXT + torch.arange(SPEECH)
    assert float(guided_attention_loss(*attention_to(itself), *places(), SETTINGS)) > 100


def test_only_the_first_heads_are_guided() -> None:
    q, k = attention_to(torch.zeros(SPEECH, dtype=torch.long), heads=2)
    q.requires_grad_()
    guided_attention_loss(q, k, *places(), SETTINGS).backward()
    assert q.grad is not None
    assert (q.grad[:, 1] == 0).all()


@pytest.mark.slow
def test_gradient_reaches_queries_and_keys(compact: Vocabulary, words: Path, tokens: Path) -> None:
    settings = lm_settings(words, tokens, Path("o"), alignment={"weight": 1.0, "layer": 1})
    torch.manual_seed(0)
    sizes = {"model_type": "llama", "vocab_size": compact.size, **LLAMA}
    network = Objective(Llama(LlamaConfig.from_dict(sizes)), settings, compact)
    ids = torch.randint(0, compact.size, (1, LENGTH))
    network(one_row()._replace(ids=ids), ["alignment"]).extra["alignment"].backward()
    layers = network.llama.model.layers
    for weight in (layers[1].self_attn.q_proj.weight, layers[1].self_attn.k_proj.weight):
        assert weight.grad is not None
        assert weight.grad.abs().sum() > 0
    assert layers[1].mlp.up_proj.weight.grad is None


def test_weight_falls_to_nothing() -> None:
    settings = AlignmentSettings(weight=0.4, until=100)
    weights = [settings.weight_at(step) for step in (0, 50, 100, 500)]
    assert weights == pytest.approx([0.4, 0.2, 0, 0])
    assert math.isclose(settings.weight_at(99), 0.004)


def test_each_head_has_its_offset() -> None:
    """Looking three tokens ahead costs nothing where that is the aim."""
    frames = torch.arange(SPEECH)
    q, k = attention_to((frames * TEXT // SPEECH + 3).clamp(max=TEXT - 1), heads=2)
    q[0, 1, TEXT:] = torch.eye(LENGTH)[frames * TEXT // SPEECH] * 1000
    losses = [
        float(guided_attention_loss(q, k, *places(), replace(SETTINGS, offsets=offsets)))
        for offsets in ([3.0, 0.0], [0.0, 3.0], [0.0, 0.0])
    ]
    assert losses[0] < losses[2] < losses[1]


@pytest.mark.parametrize(
    ("place", "message"),
    [({"layer": 2}, "layers 0 to 1"), ({"offsets": [0, 1, 2]}, "3 heads, but the model has 2")],
)
def test_layers_and_heads_that_do_not_exist(
    words: Path, tokens: Path, tmp_path: Path, place: dict[str, Any], message: str
) -> None:
    settings = lm_settings(words, tokens, tmp_path, alignment={"weight": 1.0, "layer": 1, **place})
    with pytest.raises(LlasaError, match=message):
        LMTrainer(settings)


@pytest.mark.parametrize(("timing", "width"), [((), 4.0), (((1, 2.0), (2, 4.0)), 1.5)])
def test_what_keeps_heads_that_were_taught(timing: Any, width: float) -> None:
    said = TokenItem("ab", np.zeros(4, np.int64), None, timing)
    heads = ReadingHeads(1, (0.0, 3.0))
    files = ModelFiles(ModelConfig("a", alignment=heads), Path("lm"), Path("codec"))
    kept = kept_heads(files, [said, said], steps=100)
    assert kept == AlignmentSettings(1.0, 200, 1, [0.0, 3.0], width)
    assert kept.weight_at(100) == 0.5
    assert not kept_heads(replace(files, settings=ModelConfig("a")), [said], 100).weight
