"""A model as a page: files for any static host, with which a browser speaks by itself."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
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
from llasa.models.folder import ModelFiles
from llasa.models.voices import VoiceBook
from llasa.vocabulary.vocabulary import Vocabulary

PAGE = Path(__file__).with_name("page")
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""Files of the npm package onnxruntime-web, in its folder `dist`."""
MODEL, LM = "model.json", "lm.onnx"


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
    if (
        able.lm_clones
        or not sound.speaker_size
        or vocabulary.phones
        or not files.settings.form.ends
    ):
        raise LlasaError(
            f"Model {files.settings.name} cannot be a page: that takes a model with speaker "
            "embeddings, an alphabet and end marks of its own, and no phone tokens, as nano."
        )
    form, (before, after) = files.settings.form, vocabulary.turns("tts")
    prefix, letters = letter_ids(vocabulary, form.alphabet)
    book = VoiceBook(files, sound)
    embeddings = {name: book.get(name) for name in book.names()}
    values: dict[str, Any] = {
        "name": files.settings.name,
        "rate": sound.sample_rate,
        "frame_rate": sound.frame_rate,
        "harmonic": sound.model.config.decoder_head == "harmonic",
        "before": [*before, *prefix],
        "letters": letters,
        "after": after,
        "ends": form.ends,
        "chunk_chars": files.settings.chunk_chars,
        "speech_start": vocabulary.speech_start,
        "codebook_size": vocabulary.codebook_size,
        "end": vocabulary.end,
        "layers": llama.config.num_hidden_layers,
        "heads": llama.config.num_key_value_heads,
        "head_size": llama.config.head_dim,
        "pace": files.settings.pace,
        "sampling": files.settings.sampling,
        "default_voice": files.settings.default_voice,
        "voices": {
            name: voice.speaker_embedding.values.tolist()
            for name, voice in embeddings.items()
            if voice is not None and voice.speaker_embedding is not None
        },
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
    text = f"{first}{' '.join(more)}, {''.join(more)}"
    if vocabulary.encode_text(text) != joined(prefix, letters, text):
        raise LlasaError("A page needs a model whose tokenizer reads letter by letter, as nano's.")
    return prefix, letters


def joined(prefix: Sequence[int], letters: dict[str, list[int]], text: str) -> list[int]:
    """The ids of a text, letter by letter."""
    return [*prefix, *(id_ for char in text for id_ in letters[char])]
