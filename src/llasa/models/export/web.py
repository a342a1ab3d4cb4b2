"""A model as a page: files for any static host, with which a browser speaks by itself."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llasa.base.errors import LlasaError
from llasa.base.files import write_json
from llasa.codec.codec import Codec
from llasa.codec.onnx import DECODER
from llasa.lm.checkpoint import load_llama
from llasa.models.capabilities import capabilities
from llasa.models.export.onnx import write_decoder, write_llama
from llasa.models.export.source import new_folder
from llasa.models.folder import ModelConfig, ModelFiles
from llasa.models.voices import VoiceBook
from llasa.text.duration import GRACE, PAUSE, PER_DIGIT, PER_LETTER
from llasa.vocabulary.vocabulary import Vocabulary

PAGE = Path(__file__).with_name("page")
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""Files of the npm package onnxruntime-web, in its folder `dist`."""
MODEL, LM = "model.json", "lm.onnx"
_NO_LETTERS = "A page needs a model whose tokenizer reads letter by letter, as nano's."
_OTHER_RULES = ("seed", "max_tokens", "loop_window")
"""Fields of `SamplingParams` that are no defaults of a model."""


def export_web(files: ModelFiles, out: str | Path, runtime: str | Path) -> Path:
    """Write a folder with a page on which a browser speaks, and nothing else is asked.

    Args:
        runtime: the folder `dist` of the npm package onnxruntime-web, some of which is copied.

    Raises `LlasaError` where the model is not of the kind that the page knows (small, with an
    alphabet of its own that is read letter by letter, and speaker embeddings), or `out` exists.
    """
    runtime = Path(runtime)
    if lacking := [name for name in RUNTIME if not (runtime / name).is_file()]:
        raise LlasaError(
            f"{runtime} has no {lacking[0]}: run npm install onnxruntime-web, and name "
            "node_modules/onnxruntime-web/dist."
        )
    vocabulary, llama = Vocabulary.load(files.lm), load_llama(files.lm)
    sound = Codec.load(files.codec, "cpu")
    able = capabilities(files, sound)
    form, voices = files.settings.form, _voices(VoiceBook(files, sound), vocabulary)
    if able.lm_clones or not voices or not form.ends:
        raise LlasaError(
            f"Model {files.settings.name} cannot be a page: that takes a model with voices that "
            "are speaker embeddings, and with an alphabet and end marks of its own, as nano."
        )
    default = files.settings.default_voice
    before, _ = vocabulary.turns("tts")
    prefix, letters = letter_ids(vocabulary, form.alphabet)
    values: dict[str, Any] = {
        "name": files.settings.name,
        "rate": sound.sample_rate,
        "frame_rate": sound.frame_rate,
        "token_rate": vocabulary.token_rate(sound.frame_rate),
        "harmonic": sound.model.config.decoder_head == "harmonic",
        "before": [*before, *prefix],
        "letters": letters,
        "joined": joined_letters(vocabulary),
        "ends": form.ends,
        "chunk_chars": files.settings.chunk_chars,
        "speech_start": vocabulary.speech_start,
        "codebook_size": vocabulary.codebook_size,
        "phones": len(vocabulary.phones),
        "end": vocabulary.end,
        "context": min(files.settings.max_tokens, llama.config.max_position_embeddings),
        "layers": llama.config.num_hidden_layers,
        "heads": llama.config.num_key_value_heads,
        "head_size": llama.config.head_dim,
        "pace": files.settings.pace,
        "seconds": {"pause": PAUSE, "letter": PER_LETTER, "name": PER_DIGIT, "grace": GRACE},
        "sampling": _rule(files.settings),
        "default_voice": default if default in voices else next(iter(voices)),
        "voices": voices,
    }
    with new_folder(out) as folder:
        write_json(folder / MODEL, values)
        write_llama(llama, folder / LM)
        write_decoder(sound.model, folder / DECODER)
        for source in PAGE.iterdir():
            shutil.copy(source, folder)
        (folder / "ort").mkdir()
        for name in RUNTIME:
            shutil.copy(runtime / name, folder / "ort")
    return Path(out)


def _rule(settings: ModelConfig) -> dict[str, Any]:
    """How the model is sampled, nothing left out."""
    rule = asdict(settings.rule())
    return {name: value for name, value in rule.items() if name not in _OTHER_RULES}


def _voices(book: VoiceBook, vocabulary: Vocabulary) -> dict[str, Any]:
    """The speaker embedding of each voice, and the ids between a text and its speech."""
    found = {}
    for name in book.names():
        voice = book.get(name)
        if voice is not None and voice.speaker_embedding is not None:
            _, after = vocabulary.turns("tts", voice.speaker)
            found[name] = {"embedding": voice.speaker_embedding.values.tolist(), "after": after}
    return found


def letter_ids(vocabulary: Vocabulary, alphabet: str) -> tuple[list[int], dict[str, list[int]]]:
    """The ids before every text, and those of each letter, of both sizes.

    `LlasaError` for a tokenizer that does not read letter by letter.
    """
    first, *more = sorted({*alphabet, *alphabet.upper()} - {" "})
    alone = vocabulary.encode_text(first)
    double = vocabulary.encode_text(first * 2)
    prefix, own = alone[: 2 * len(alone) - len(double)], double[len(alone) :]
    letters = {first: own}
    for char in (" ", *more):
        letters[char] = vocabulary.encode_text(f"{first}{char}{first}")[len(alone) : -len(own)]
    text = f"{first}{' '.join(more)}"  # letters that are joined are left to `joined_letters`
    if vocabulary.encode_text(text) != [*prefix, *(id_ for char in text for id_ in letters[char])]:
        raise LlasaError(_NO_LETTERS)
    return prefix, letters


def joined_letters(vocabulary: Vocabulary) -> list[tuple[str, str, int]]:
    """Neighbours inside of words that are one token, in the order in which they are joined.

    `LlasaError` for a tokenizer that joins more than letters.
    """
    model = vocabulary.tokenizer_spec()["model"]
    if model["type"] != "BPE":
        raise LlasaError(_NO_LETTERS)
    pairs = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    if not all(f"{one}{other}".isascii() and f"{one}{other}".isalpha() for one, other in pairs):
        raise LlasaError(_NO_LETTERS)
    return [(one, other, model["vocab"][one + other]) for one, other in pairs]
