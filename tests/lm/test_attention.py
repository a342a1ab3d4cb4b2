"""Where heads look, against ``transformers``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from llasa.lm.checkpoint import load_llama
from llasa.lm.engine import generate
from llasa.lm.sampling import SamplingParams
from llasa.lm.torch import TorchEngine

from .tools import VARIANTS, prompt, saved, their_model

GREEDY = SamplingParams(temperature=0, max_tokens=40)


@pytest.mark.parametrize("variant", ["untied", "grouped", "llama3 positions"])
def test_where_heads_look_equals_transformers(variant: str, tmp_path: Path) -> None:
    theirs = their_model(attn_implementation="eager", **VARIANTS[variant])
    engine = TorchEngine(load_llama(saved(theirs, tmp_path)))
    ids, queries, keys = prompt(300 if variant == "untied" else 40), [20, 38, 39], [3, 4, 9, 20]
    ids = ids[:250]
    (running,) = engine.start([prompt(9, seed=1)], GREEDY)
    seen = engine.attention(ids, 1, 3, queries, keys)
    with torch.no_grad():
        found = theirs(torch.tensor([ids]), output_attentions=True).attentions[1][0, :3]
    wanted = found[:, queries][:, :, keys]
    wanted = wanted / wanted.sum(-1, keepdim=True)
    assert seen is not None
    torch.testing.assert_close(torch.from_numpy(seen), wanted, atol=1e-5, rtol=1e-4)
    (alone,) = generate(TorchEngine(load_llama(tmp_path)), [prompt(9, seed=1)], GREEDY)
    engine.advance([running], 40)  # which was not disturbed
    assert running.tokens == alone.tokens
