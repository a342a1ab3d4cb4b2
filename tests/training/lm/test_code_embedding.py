"""Codes that share parts: the quantiser's digits, and nothing but a plain table is left of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from llasa.base.errors import LlasaError
from llasa.codec.quantizer import FSQ
from llasa.lm.checkpoint import load_llama
from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama
from llasa.training.checkpoint import checkpoints, load_state
from llasa.training.lm.code_embedding import code_digits, folded, share_codes
from llasa.training.lm.trainer import LMTrainer, train_lm
from llasa.vocabulary.vocabulary import Vocabulary

from ..tools import CODES, LLAMA, lm_settings, rewound, same_end

LEVELS = [4, 4, 4]
TEXT = 40
WEIGHT = "model.embed_tokens.weight"


@pytest.fixture
def llama() -> Llama:
    torch.manual_seed(0)
    sizes = {"model_type": "llama", "vocab_size": TEXT + CODES, **LLAMA}
    return Llama(LlamaConfig.from_dict(sizes))


@pytest.mark.parametrize("levels", [LEVELS, [5, 3, 4, 2], [8, 5, 5], [4] * 8])
def test_digits_are_those_of_the_quantiser(levels: list[int]) -> None:
    fsq = FSQ(len(levels), tuple(levels), double_bound=False)
    with torch.no_grad():
        for layer in (fsq.project_in, fsq.project_out):  # so that its latents are its grid
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)
        torch.manual_seed(0)
        quantised, codes = fsq(torch.randn(1, 2000, len(levels)) * 2)
    halves = torch.tensor(levels) // 2
    expected = ((quantised[0] + 1) * halves).round().long()
    table = code_digits(levels)
    digits = [part.argmax(1) for part in table[codes[0]].split(levels, 1)]
    assert torch.equal(torch.stack(digits, 1), expected)
    assert expected.amax(0).tolist() == [level - 1 for level in levels]
    assert torch.equal(table.sum(1), torch.full((len(table),), float(len(levels))))


def test_a_fresh_table(llama: Llama) -> None:
    text = llama.head[:TEXT].clone()
    share_codes(llama, LEVELS, TEXT, fresh=True)
    table = llama.model.embed_tokens.weight.detach()
    assert torch.equal(table[:TEXT], text)
    codes = table[TEXT:]
    assert 0.015 < float(codes.std()) < 0.025
    alike = torch.cosine_similarity(codes[None], codes[:, None], dim=-1)
    digits = code_digits(LEVELS)
    shared = digits @ digits.T
    assert (
        alike[shared == 2].mean()
        > 0.5
        > 0.4
        > alike[shared == 1].mean()
        > alike[shared == 0].mean()
    )


def test_folded_table_is_the_one_that_was_trained(llama: Llama) -> None:
    share_codes(llama, LEVELS, TEXT, fresh=True)
    plain = folded(llama.state_dict(), LEVELS, TEXT)
    assert torch.equal(plain[WEIGHT], llama.head)
    assert plain.keys() == Llama(llama.config).state_dict().keys()
    assert folded(plain, LEVELS, TEXT).keys() == plain.keys()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(plain[WEIGHT], llama.head)


def test_rows_after_the_codes_have_no_parts(llama: Llama) -> None:
    """Those of phones."""
    phones = Llama(replace(llama.config, vocab_size=TEXT + CODES + 3))
    before = phones.head[TEXT + CODES :].clone()
    share_codes(phones, LEVELS, TEXT, fresh=True)
    plain = folded(phones.state_dict(), LEVELS, TEXT)[WEIGHT]
    assert torch.equal(plain[TEXT + CODES :], before)
    assert torch.equal(plain, phones.head)
    assert 0.015 < float(plain[TEXT : TEXT + CODES].std()) < 0.025


@pytest.mark.parametrize("tied", [True, False])
def test_a_trained_table_stays(llama: Llama, tied: bool) -> None:
    llama = Llama(replace(llama.config, tie_word_embeddings=tied))
    ids = torch.randint(0, TEXT + CODES, (2, 9))
    table, logits = llama.model.embed_tokens.weight.clone(), llama(ids)
    share_codes(llama, LEVELS, TEXT, fresh=False)
    assert torch.equal(llama.model.embed_tokens.weight, table)
    torch.testing.assert_close(llama(ids), logits)


def test_a_frame_teaches_all_codes_that_share_a_digit(llama: Llama) -> None:
    share_codes(llama, LEVELS, TEXT, fresh=True)
    before = llama.model.embed_tokens.weight.detach().clone()
    llama.model.embed_tokens(torch.tensor([TEXT])).sum().backward()  # code 0: digits 0, 0, 0
    with torch.no_grad():
        for parameter in llama.model.embed_tokens.parameters():
            assert parameter.grad is not None
            parameter.sub_(0.1 * parameter.grad)
        moved = (before - llama.model.embed_tokens.weight)[:, 0]
    shared = code_digits(LEVELS)[:, [0, 4, 8]].sum(1)
    shared[0] += 1  # and what it has for itself
    torch.testing.assert_close(moved[TEXT:], 0.1 * shared)
    assert (moved[:TEXT] == 0).all()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, words: Path, tokens: Path) -> Path:
    """Folder of a run that was never interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train_lm(lm_settings(words, tokens, out, code_levels=LEVELS, run={"steps": 4}))
    return out


def test_what_is_saved_is_a_plain_llama(
    tmp_path: Path, words: Path, tokens: Path, whole: Path, compact: Vocabulary
) -> None:
    folder = checkpoints(whole)[-1][1]
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert "parametrizations" not in "".join(file.keys())
    trainer = LMTrainer(lm_settings(words, tokens, whole, code_levels=LEVELS))
    assert trainer.finished == 4
    ids = torch.randint(0, compact.size, (2, 30), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(load_llama(folder)(ids), trainer.llama(ids))
    name = "llama.model.embed_tokens.parametrizations.weight.0.parts"
    first, last = (load_state(path)["model"][name] for _, path in checkpoints(whole))
    assert first.shape == (sum(LEVELS), LLAMA["hidden_size"])
    assert not torch.equal(first, last)
    further = lm_settings(words, tokens, tmp_path, init=str(folder), code_levels=LEVELS)
    assert torch.equal(LMTrainer(further).llama.head, trainer.llama.head)


def test_resumed_run_equals_the_whole_one(
    tmp_path: Path, words: Path, tokens: Path, whole: Path
) -> None:
    out = rewound(whole, tmp_path / "run", 2)
    train_lm(lm_settings(words, tokens, out, code_levels=LEVELS, run={"steps": 4}))
    same_end(out, whole)


def test_checkpoints_with_and_without_shared_parts(
    tmp_path: Path, words: Path, tokens: Path, whole: Path
) -> None:
    out = rewound(whole, tmp_path / "run", 2)
    with pytest.raises(LlasaError, match="does not fit these settings"):
        LMTrainer(lm_settings(words, tokens, out))


@pytest.mark.parametrize("levels", [[4, 4], [4, 4, 4, 4], [1, 64], [-8, -8], [0]])
def test_levels_of_another_codec(
    tmp_path: Path, words: Path, tokens: Path, levels: list[int]
) -> None:
    message = r"code_levels \[.* must be 2 or more each and make as many .* \(64\): give the levels"
    with pytest.raises(LlasaError, match=message) as found:
        LMTrainer(lm_settings(words, tokens, tmp_path, code_levels=levels))
    assert "\n" not in str(found.value)
