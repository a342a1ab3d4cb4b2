"""The exported folder in Transformers: the same tokens, prompts and answers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llasa.base.errors import LlasaError
from llasa.lm.checkpoint import save_llama, stored_dtype
from llasa.models.export.hf import export_hf
from llasa.models.find import find_lm
from llasa.vocabulary.vocabulary import Vocabulary
from tests.tiny_model import tiny_llama, tiny_vocabulary

from .conftest import PHONES, TEXT, greedy


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def check_answer(model: str | Path, out: Path, count: int = 40) -> None:
    """Prompt and greedy answer are ours."""
    lm = find_lm(model)
    prompt = Vocabulary.load(lm).tts_prompt(TEXT)
    theirs = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(out)
    ids = tokenizer.apply_chat_template(user(TEXT), add_generation_prompt=True, return_dict=False)
    assert ids == prompt
    said = theirs.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=count)
    assert said[0, len(ids) :].tolist() == greedy(lm, prompt, count)


def test_a_model_that_names_phones(tmp_path: Path, named: Path) -> None:
    check_answer(named, export_hf(named, tmp_path / "out"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    vocabulary = Vocabulary.load(find_lm(named))
    last = tokenizer.convert_tokens_to_ids(f"<|phone_{PHONES[-1]}|>")
    assert last == vocabulary.size - 1


@pytest.mark.parametrize("phones", [(), ("AH", "T")])
def test_a_language_model(tmp_path: Path, phones: tuple[str, ...]) -> None:
    model = tmp_path / "lm"
    vocabulary = tiny_vocabulary(phones)
    save_llama(tiny_llama(vocabulary), model)
    vocabulary.save(model)
    check_answer(model, export_hf(model, tmp_path / "out"))
    before, after = (Vocabulary.load(folder) for folder in (find_lm(model), tmp_path / "out"))
    assert (after.size, after.phones, after.end) == (before.size, before.phones, before.end)
    assert after.tts_prompt(TEXT) == before.tts_prompt(TEXT)
    assert len(AutoTokenizer.from_pretrained(tmp_path / "out")) == before.size


@pytest.mark.slow
def test_nano(tmp_path: Path) -> None:
    out = export_hf("nano", tmp_path / "out")
    check_answer("nano", out, 200)
    theirs = AutoModelForCausalLM.from_pretrained(out)
    assert theirs.dtype == torch.float16
    rules = theirs.generation_config
    assert (rules.do_sample, rules.temperature, rules.top_k) == (True, 0.3, 20)


@pytest.mark.slow
def test_the_released_kind(tmp_path: Path, released: Path, llama3: Vocabulary) -> None:
    out = export_hf(released, tmp_path / "out")
    check_answer(released, out)
    assert stored_dtype(out) == torch.bfloat16
    assert AutoModelForCausalLM.from_pretrained(out).dtype == torch.bfloat16
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.eos_token_id == llama3.end
    assert tokenizer.convert_tokens_to_ids("<|s_65535|>") == llama3.size - 1
    assert tokenizer.bos_token == "<|begin_of_text|>"
    assert not (out / "vocabulary.json").exists()


@pytest.mark.slow
def test_the_usage_of_the_released_cards(
    tmp_path: Path, released: Path, llama3: Vocabulary
) -> None:
    """Control tokens in the content, a begun answer with the codes of a recording."""
    tokenizer = AutoTokenizer.from_pretrained(export_hf(released, tmp_path / "out"))
    said = f"<|TEXT_UNDERSTANDING_START|>A fox. {TEXT}<|TEXT_UNDERSTANDING_END|>"
    chat = [
        *user(f"Convert the text to speech:{said}"),
        {"role": "assistant", "content": "<|SPEECH_GENERATION_START|><|s_5|><|s_65535|>"},
    ]
    ids = tokenizer.apply_chat_template(chat, continue_final_message=True, return_dict=False)
    assert ids == llama3.tts_prompt(TEXT, "A fox.", [5, 65_535])


def test_codes_survive_where_special_tokens_are_skipped(tmp_path: Path, tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(export_hf(tiny, tmp_path / "out"))
    vocabulary = Vocabulary.load(find_lm(tiny))
    ids = [*vocabulary.codes_to_ids([3, 60]), vocabulary.end]
    assert tokenizer.decode(ids, skip_special_tokens=True).split() == ["<|s_3|><|s_60|>"]


def test_nothing_is_overwritten(tmp_path: Path, tiny: Path) -> None:
    out = export_hf(tiny, tmp_path / "out")
    with pytest.raises(LlasaError, match="exists: name a folder that does not"):
        export_hf(tiny, out)


def test_weights_of_another_vocabulary(tmp_path: Path, tiny: Path, llama3: Vocabulary) -> None:
    shutil.copytree(find_lm(tiny), tmp_path / "lm")
    llama3.save(tmp_path / "lm")
    with pytest.raises(LlasaError, match="belong to different models"):
        export_hf(tmp_path / "lm", tmp_path / "out")
    assert not (tmp_path / "out").exists()
