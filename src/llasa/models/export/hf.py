"""A language model as a folder that Transformers and vLLM open, with the whole tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llasa.base.files import write_json
from llasa.base.weights import CONFIG, weights_to_save, write_checkpoint
from llasa.models.export.source import ExportSource, chat_template, new_folder, speech_tokens
from llasa.vocabulary.tokenizer import CONTROL_TOKENS, TOKENIZER_FILE
from llasa.vocabulary.vocabulary import VOCABULARY_FILE, Vocabulary


def export_hf(model: str | Path, out: str | Path) -> Path:
    """Write a folder for `AutoModelForCausalLM` and `AutoTokenizer`; weights keep their precision.

    `Llasa.load` opens it, too. Raises `LlasaError` if there is no such model, or `out` exists.
    """
    source = ExportSource.open(model)
    vocabulary, config = source.vocabulary, source.llama.config
    # A token of the prompt as padding, and `generate` would hide it from the model.
    ids = {"bos_token_id": source.start} | dict.fromkeys(
        ("eos_token_id", "pad_token_id"), vocabulary.end
    )
    state = weights_to_save(source.llama, half=False)
    dtype = str(next(iter(state.values())).dtype).removeprefix("torch.")
    names = speech_tokens(vocabulary)
    with new_folder(out) as folder:
        files = {
            CONFIG: {**config.to_dict(), **ids, "dtype": dtype},
            "generation_config.json": {**_sampling(source.sampling), **ids},
            "tokenizer_config.json": {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": _name(vocabulary, ids["bos_token_id"]),
                "eos_token": _name(vocabulary, ids["eos_token_id"]),
                "pad_token": _name(vocabulary, ids["pad_token_id"]),
                "model_max_length": config.max_position_embeddings,
                "clean_up_tokenization_spaces": False,
                "chat_template": chat_template(vocabulary),
            },
        }
        write_checkpoint(folder, state, files)
        vocabulary.save(folder)  # of which vocabulary.json stays
        write_json(folder / TOKENIZER_FILE, whole_tokenizer(vocabulary, names), None)
        if not vocabulary.phones and vocabulary.style == "llama3":
            (folder / VOCABULARY_FILE).unlink()  # the tokenizer says it all, as released ones do
    return Path(out)


def whole_tokenizer(vocabulary: Vocabulary, names: list[str]) -> dict[str, Any]:
    """A tokenizer.json with all tokens; control tokens count as special, codes do not.

    So `decode(ids, skip_special_tokens=True)` leaves the codes.
    """
    spec = vocabulary.tokenizer_spec()
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [
        {"id": id_, "content": name, **plain, "special": name in CONTROL_TOKENS}
        for id_, name in enumerate(names, vocabulary.base_size)
    ]
    return {**spec, "added_tokens": [*spec["added_tokens"], *added]}


def _name(vocabulary: Vocabulary, token: int) -> str:
    if token >= vocabulary.base_size:
        return CONTROL_TOKENS[token - vocabulary.base_size]
    return next(name for name, id_ in vocabulary.added_tokens.items() if id_ == token)


def _sampling(settings: dict[str, Any]) -> dict[str, Any]:
    """Defaults of a model as a generation_config.json names them."""
    if settings.get("temperature") == 0:
        return {"do_sample": False}
    known = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
    # Without a word Transformers would keep the 50 likeliest.
    found = {"top_k": 0} | {name: settings[name] for name in known if name in settings}
    return {"do_sample": True, **found}
