"""The exported file in llama.cpp: the same tokens, prompts and answers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from llasa.base.errors import LlasaError
from llasa.base.files import read_json, write_json
from llasa.models.export.gguf import export_gguf
from llasa.models.export.source import speech_tokens
from llasa.models.find import find_lm
from llasa.vocabulary.vocabulary import Vocabulary

from .conftest import TEXT, greedy

gguf = pytest.importorskip("gguf", reason="needs the package gguf")


def llama_cpp(path: Path) -> Any:
    """llama.cpp's own server, inside this process."""
    library = pytest.importorskip("xllamacpp", reason="needs llama.cpp: pip install xllamacpp")
    params = library.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.warmup = 512, 1, False
    params.cpuparams.n_threads = 1
    return library.Server(params)


def answer(server: Any, prompt: Sequence[int], count: int) -> str:
    rule = {"n_predict": count, "temperature": 0.0, "top_k": 1}
    said = server.handle_completions({"prompt": list(prompt), **rule})
    return str(said["choices"][0]["text"])


def check_answer(model: str | Path, path: Path, count: int = 40) -> None:
    """Greedy answers to our prompt, and to a chat, are ours."""
    lm = find_lm(model)
    vocabulary = Vocabulary.load(lm)
    prompt = vocabulary.tts_prompt(TEXT)
    tokens = [token for token in greedy(lm, prompt, count) if token != vocabulary.end]
    assert min(tokens) >= vocabulary.speech_start
    names = speech_tokens(vocabulary)
    wanted = "".join(names[token - vocabulary.base_size] for token in tokens)
    server = llama_cpp(path)
    assert answer(server, prompt, count) == wanted
    rule = {"max_tokens": count, "temperature": 0.0, "top_k": 1}
    chat = [{"role": "user", "content": TEXT}]
    said = server.handle_chat_completions({"messages": chat, **rule})
    assert said["choices"][0]["message"]["content"] == wanted
    assert said["usage"]["prompt_tokens"] == len(prompt)


def test_nano(tmp_path: Path) -> None:
    check_answer("nano", export_gguf("nano", tmp_path / "nano.gguf"), 200)


def test_phones(tmp_path: Path, named: Path) -> None:
    said = greedy(find_lm(named), Vocabulary.load(find_lm(named)).tts_prompt(TEXT))
    assert max(said) >= Vocabulary.load(find_lm(named)).phone_start
    check_answer(named, export_gguf(named, tmp_path / "a.gguf", "f32"))


@pytest.mark.slow
def test_the_released_kind(tmp_path: Path, released: Path, llama3: Vocabulary) -> None:
    path = export_gguf(released, tmp_path / "a.gguf", "f32")
    server = llama_cpp(path)
    prompt = llama3.tts_prompt(TEXT)
    rule = {"n_predict": 20, "temperature": 0.0, "top_k": 1, "n_probs": 1}
    said = server.handle_completions({"prompt": prompt, **rule})
    ids = [entry["id"] for entry in said["choices"][0]["logprobs"]["content"]]
    assert ids == greedy(released, prompt, 20)


@pytest.mark.slow
def test_what_is_written(tmp_path: Path, released: Path, llama3: Vocabulary) -> None:
    reader = gguf.GGUFReader(export_gguf(released, tmp_path / "a.gguf"))

    def found(name: str) -> Any:
        return reader.get_field(name).contents()

    assert found("general.architecture") == "llama"
    assert found("tokenizer.ggml.pre") == "llama-bpe"
    assert found("tokenizer.ggml.eos_token_id") == llama3.end
    assert found("tokenizer.ggml.eot_token_id") == llama3.eot
    assert found("llasa.codebook_size") == 65_536
    tokens = reader.get_field("tokenizer.ggml.tokens")
    assert len(tokens.data) == llama3.size
    assert tokens.contents(llama3.speech_start) == "<|s_0|>"
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert kinds["token_embd.weight"] == "BF16"
    assert kinds["output_norm.weight"] == kinds["rope_freqs.weight"] == "F32"
    assert "output.weight" not in kinds  # tied


def test_types(tmp_path: Path, tiny: Path) -> None:
    path = export_gguf(tiny, tmp_path / "a.gguf", "q8_0")
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors}
    assert kinds["token_embd.weight"] == "Q8_0"
    assert kinds["blk.0.ffn_down.weight"] == "F16"  # rows of 48 hold no whole blocks
    with pytest.raises(LlasaError, match="'q4'"):
        export_gguf(tiny, tmp_path / "b.gguf", "q4")


def test_an_unknown_tokenizer_is_refused(tmp_path: Path, tiny: Path) -> None:
    folder = tmp_path / "lm"
    shutil.copytree(find_lm(tiny), folder)
    spec = read_json(folder / "tokenizer.json")
    spec["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}
    write_json(folder / "tokenizer.json", spec)
    with pytest.raises(LlasaError, match="no counterpart in llama.cpp"):
        export_gguf(folder, tmp_path / "a.gguf")
    assert not (tmp_path / "a.gguf").exists()
