"""Language models as ONNX graphs: their tokens, and where they look, are those of PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llasa.base.errors import LlasaError
from llasa.lm.checkpoint import save_llama
from llasa.lm.engine import generate
from llasa.lm.sampling import SamplingParams
from llasa.lm.torch import TorchEngine
from tests.lm.tools import LLAMA3, our_model, prompt

pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

from llasa.lm.onnx import MODEL, OnnxEngine
from llasa.models.export.onnx import write_llama

KINDS: dict[str, dict[str, Any]] = {
    "tied": {},
    "untied": {"tie_word_embeddings": False},
    "a head of keys for each": {"num_key_value_heads": 4},
    "llama3 positions": {"rope_scaling": LLAMA3},
    "large epsilon": {"rms_norm_eps": 0.1},
}


def engines(folder: Path, reader: int | None = None, **changes: Any) -> tuple[Any, OnnxEngine]:
    """PyTorch's and ours, of the same random model."""
    model = our_model(head_dim=16, **changes)
    save_llama(model, folder)
    write_llama(model, folder / MODEL, reader)
    return TorchEngine(model), OnnxEngine(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens(tmp_path: Path, kind: str) -> None:
    """Alone and beside others of other lengths, also where the cache grows."""
    ours, theirs = engines(tmp_path, **KINDS[kind])
    prompts = [prompt(1), prompt(30, 1), prompt(250, 2)]
    rule = SamplingParams(temperature=0, max_tokens=20)
    expected = [said.tokens for said in generate(ours, prompts, rule)]
    assert len({token for tokens in expected for token in tokens}) > 10
    assert [said.tokens for said in generate(theirs, prompts, rule)] == expected
    assert [generate(theirs, [one], rule)[0].tokens for one in prompts] == expected


def test_children_and_prompts_that_begin_alike(tmp_path: Path) -> None:
    ours, theirs = engines(tmp_path)
    texts, rule = [prompt(40), [*prompt(30), *prompt(8, 1)]], SamplingParams(temperature=0)
    said = []
    for engine in (ours, theirs):
        running = engine.start(texts, rule)
        engine.advance(running, 5)
        children = engine.fork(running, [1, 0, 1])
        engine.advance(children[1:], 7)
        said.append([child.tokens for child in children])
        engine.release(children)
    assert said[0] == said[1]


def test_a_cache_that_cannot_grow_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So does the sequence in it; the next one, with memory again, is none the worse."""
    ours, theirs = engines(tmp_path)
    rule, allocated, zeros = SamplingParams(temperature=0, max_tokens=9), [], np.zeros

    def full(shape: Any, *kind: Any) -> Any:
        allocated.append(shape)
        if len(allocated) == 3:
            raise MemoryError
        return zeros(shape, *kind)

    (running,) = theirs.start([prompt(5)], rule)
    theirs.advance([running], 4)
    with monkeypatch.context() as patch:
        patch.setattr("llasa.lm.onnx.np.zeros", full)
        with pytest.raises(MemoryError):
            theirs.start([prompt(300, 1)], rule)
    (later,) = theirs.start([prompt(300, 1)], rule)
    theirs.advance([running, later], 9)
    expected = generate(ours, [prompt(5), prompt(300, 1)], rule)
    assert [one.tokens for one in (running, later)] == [said.tokens for said in expected]


def test_where_heads_look(tmp_path: Path) -> None:
    ours, theirs = engines(tmp_path, reader=1)
    places = (prompt(30), 1, 3, [7, 29], [0, 3, 5])
    seen = theirs.attention(*places)
    assert seen is not None
    np.testing.assert_allclose(seen, ours.attention(*places), atol=1e-5)
    assert theirs.attention(prompt(30), 0, 3, [7], [0]) is None


def test_heads_of_a_size_that_onnxruntime_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match="language model have size 12, and .* multiples of 16"):
        write_llama(our_model(), tmp_path / MODEL)
