"""Packing a model: a language model, a codec and voices in one folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.base.files import folder_megabytes, temporary_name, write_atomic, write_json
from llasa.base.names import check_name, did_you_mean
from llasa.codec.codec import Codec
from llasa.lm.checkpoint import load_llama, save_llama
from llasa.models.folder import (
    CARD,
    DESCRIPTOR,
    MODEL_TYPE,
    ModelConfig,
    check_fit,
    find_codec,
    is_model_folder,
)
from llasa.models.voice import PREVIEW, SUFFIX, Voice
from llasa.text import check_text
from llasa.tts.llasa import Llasa
from llasa.vocabulary.vocabulary import Vocabulary


def pack_model(
    lm: str | Path,
    codec: str | Path,
    out: str | Path,
    settings: ModelConfig,
    *,
    voices: Iterable[Voice] = (),
    preview: str | None = None,
    card: str = "",
    half: bool = True,
) -> Path:
    """Write a model folder from a language model and a codec.

    Args:
        lm: folder with config, weights, tokenizer and vocabulary.
        codec: codec folder, hub id, or a model to take it from.
        out: the folder to write; a model folder that is already there is replaced.
        settings: name and defaults; `lm` and `codec` in it are ignored.
        voices: voices to put in, made with this codec.
        preview: what is spoken in each of them, and kept beside it.
        card: text of README.md; by default a few lines of sizes.
        half: store float16 instead of float32.

    Raises `LlasaError` where the parts do not belong together, a setting is not valid, or `out`
    is something else.
    """
    out = Path(os.path.abspath(out))
    check_name(settings.name, "model name")
    settings.check()
    settings.rule()
    empty = out.is_dir() and not any(out.iterdir())
    if out.exists() and not (empty or is_model_folder(out)):
        raise LlasaError(f"{out} exists and is no model folder: name another folder.")
    vocabulary, llama = Vocabulary.load(lm), load_llama(lm)
    sound = Codec.load(find_codec(codec), "cpu")
    check_fit(vocabulary, llama.config.vocab_size, sound)
    if vocabulary.phones and settings.cloning:
        raise LlasaError(
            "A model that names its phones cannot go on from a voice prompt, which has no names: "
            "pack it with cloning=False (--no-cloning)."
        )
    chosen: dict[str, Voice] = {}
    for voice in voices:
        if voice.name in chosen:
            raise LlasaError(f"Two of the voices are called {voice.name}: rename one of them.")
        chosen[voice.name] = voice
        if len(voice.codes) and not (settings.cloning or sound.speaker_size):
            raise LlasaError(f"Voice {voice.name} is a recording, but the model does not clone.")
        if not voice.fits(sound):
            raise LlasaError(f"Voice {voice.name} was made with another codec: make it again.")
    if preview is not None and not chosen:
        raise LlasaError("A preview is spoken in voices, but no voice was given.")
    if preview is not None:
        check_text(preview)
    if (default := settings.default_voice) is not None and default not in chosen:
        hint = did_you_mean(default, chosen)
        raise LlasaError(f"The default voice {default!r} is not among the voices given.{hint}")
    temporary = temporary_name(out.parent)
    replaced = temporary.with_suffix(".old")
    try:
        temporary.mkdir(parents=True)
        save_llama(llama, temporary / "lm", half)
        vocabulary.save(temporary / "lm")
        sound.save(temporary / "codec", half=half)
        (temporary / "voices").mkdir()
        for voice in chosen.values():
            voice.save(temporary / "voices" / f"{voice.name}{SUFFIX}")
        values = {"model_type": MODEL_TYPE, **asdict(settings), "lm": "lm", "codec": "codec"}
        write_json(temporary / DESCRIPTOR, values)
        parameters = sum(p.numel() for p in llama.parameters()) / 1e6
        card = card or (
            f"# {settings.name}\n\nA Llasa model: {parameters:.1f} M parameters, "
            f"{vocabulary.codebook_size:,} codes at {sound.frame_rate:g} a second, "
            f"{folder_megabytes(temporary):.1f} MB.\n"
        )
        write_atomic(temporary / CARD, card.encode())
        if preview is not None:
            tts = Llasa.load(temporary, device="cpu")
            for voice in chosen.values():
                speech = tts(preview, voice=voice, seed=0)
                speech.save(temporary / "voices" / f"{voice.name}{PREVIEW}")
        if out.exists():
            os.replace(out, replaced)
        os.replace(temporary, out)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError as error:
        raise LlasaError(f"{out} cannot be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out
