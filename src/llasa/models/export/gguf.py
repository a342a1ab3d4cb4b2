"""Exports a language model as a GGUF file for llama.cpp and programs built on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llasa.base.errors import LlasaError
from llasa.base.files import atomic_path
from llasa.base.names import check_choice
from llasa.base.packages import require
from llasa.models.export.source import ExportSource, chat_template, speech_tokens
from llasa.vocabulary.tokenizer import CONTROL_TOKENS
from llasa.vocabulary.vocabulary import Vocabulary

TYPES = ("f32", "f16", "bf16", "q8_0")
_STORED = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}
_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""Names of weights here and there; those of a layer stand after its number."""


def export_gguf(model: str | Path, out: str | Path, kind: str | None = None) -> Path:
    """Write one file with weights, tokenizer and chat template.

    `kind` is f32, f16, bf16 or q8_0 for matrices (default: as they are stored); norms are f32.
    Raises `LlasaError` where there is no such model, or llama.cpp does not know its tokenizer.
    """
    if kind is not None:
        check_choice(kind, TYPES, "GGUF type")
    gguf = require("gguf")
    source = ExportSource.open(model)
    before = _before_words(source.vocabulary)
    kind = kind or _STORED[source.llama.model.embed_tokens.weight.dtype]
    chosen = gguf.GGMLQuantizationType[kind.upper()]
    with atomic_path(out) as path:
        writer = gguf.GGUFWriter(path, "llama", use_temp_file=True)
        share = "ALL" if kind == "f32" else "MOSTLY"
        writer.add_file_type(gguf.LlamaFileType[f"{share}_{kind.upper()}"])
        _add_sizes(writer, source)
        _add_tokenizer(writer, source, before)
        for name, weight in _tensors(source):
            type_ = gguf.GGMLQuantizationType.F32 if weight.ndim == 1 else chosen
            if weight.shape[-1] % gguf.GGML_QUANT_SIZES[type_][0]:  # rows that blocks do not fill
                type_ = gguf.GGMLQuantizationType.F16
            writer.add_tensor(name, gguf.quants.quantize(weight, type_), raw_dtype=type_)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return Path(out)


def _add_sizes(writer: Any, source: ExportSource) -> None:
    c = source.llama.config
    writer.add_name(source.name)
    writer.add_vocab_size(c.vocab_size)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_key_length(c.head_dim)
    writer.add_value_length(c.head_dim)
    writer.add_rope_dimension_count(c.head_dim)
    writer.add_rope_freq_base(c.rope_theta)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    vocabulary = source.vocabulary
    writer.add_uint32("llasa.codebook_size", vocabulary.codebook_size)
    writer.add_uint32("llasa.speech_start", vocabulary.speech_start)
    writer.add_string("llasa.codec", vocabulary.codec)


def _add_tokenizer(writer: Any, source: ExportSource, before: str) -> None:
    """Tokens with their kinds, merges, special ids and the chat template."""
    vocabulary = source.vocabulary
    spec = vocabulary.tokenizer_spec()
    kinds = require("gguf").TokenType
    rows = source.llama.config.vocab_size
    names, types = [f"[UNUSED{row}]" for row in range(rows)], [kinds.UNUSED] * rows
    for name, id_ in spec["model"]["vocab"].items():
        names[id_], types[id_] = name, kinds.NORMAL
    for name, id_ in vocabulary.added_tokens.items():
        names[id_], types[id_] = name, kinds.CONTROL
    for id_, name in enumerate(speech_tokens(vocabulary), vocabulary.base_size):
        # Control tokens do not come out as text, codes do.
        kind = kinds.CONTROL if name in CONTROL_TOKENS else kinds.USER_DEFINED
        names[id_], types[id_] = name, kind
    merges = (m if isinstance(m, str) else " ".join(m) for m in spec["model"]["merges"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(before)
    writer.add_token_list(names)
    writer.add_token_types(types)
    writer.add_token_merges(list(merges))
    writer.add_bos_token_id(source.start)
    writer.add_eos_token_id(vocabulary.end)
    if vocabulary.eot is not None:
        writer.add_eot_token_id(vocabulary.eot)
    writer.add_add_bos_token(False)  # the template has it
    writer.add_add_eos_token(False)
    prefix = " " if _steps(spec["pre_tokenizer"])[-1].get("add_prefix_space") else ""
    writer.add_chat_template(chat_template(vocabulary, prefix))


def _steps(before: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The steps of a tokenizer's pre-tokenizer."""
    before = before or {}
    return list(before["pretokenizers"]) if before.get("type") == "Sequence" else [before]


def _before_words(vocabulary: Vocabulary) -> str:
    """llama.cpp's name for how a text is split into words; `LlasaError` where it has none."""
    spec = vocabulary.tokenizer_spec()
    *first, last = _steps(spec["pre_tokenizer"])
    by_words = last.get("use_regex", True)
    pattern = str(first[0].get("pattern", {}).get("Regex", "")) if len(first) == 1 else ""
    known = spec["model"]["type"] == "BPE" and not spec.get("normalizer")
    if known and last.get("type") == "ByteLevel":
        if not first and by_words:
            return "gpt-2"
        if [step.get("type") for step in first] == ["Digits"] and by_words:
            return "smollm"
        if r"\p{N}{1,3}" in pattern and not by_words:
            return "llama-bpe"
    raise LlasaError(
        "This model's tokenizer has no counterpart in llama.cpp: GGUF takes byte-level BPE that "
        "splits text as GPT-2, SmolLM or Llama 3 do. Export it with hf instead."
    )


def _tensors(source: ExportSource) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Names and float32 weights as llama.cpp has them, one at a time."""
    config = source.llama.config
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    if config.rope_scaling is not None:
        slowed = replace(config, rope_scaling=None).frequencies() / config.frequencies()
        yield "rope_freqs.weight", slowed.numpy()
    for name, tensor in source.llama.state_dict().items():
        module = name.removesuffix(".weight")
        place = ""
        if module.startswith("model.layers."):
            number, module = module.removeprefix("model.layers.").split(".", 1)
            place = f"blk.{number}."
        count = heads.get(module.rpartition(".")[2])
        if count is not None:
            tensor = _neighbours(tensor, count)
        yield f"{place}{_NAMES[module]}.weight", tensor.float().numpy()


def _neighbours(weight: Tensor, heads: int) -> Tensor:
    """Rows of queries or keys, reordered so that rotated pairs are adjacent."""
    pairs = weight.view(heads, 2, -1, weight.shape[1])
    return pairs.transpose(1, 2).reshape(weight.shape)
