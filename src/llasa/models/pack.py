"""Packs a language model, a codec and voices into one model folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.base.files import folder_megabytes, published_folder, write_atomic, write_json
from llasa.base.names import check_name, did_you_mean
from llasa.codec.codec import Codec
from llasa.lm.checkpoint import load_llama, save_llama
from llasa.lm.llama import Llama
from llasa.lm.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS, with_adapter
from llasa.models.find import find_codec
from llasa.models.folder import (
    CARD,
    DESCRIPTOR,
    MODEL_TYPE,
    ModelConfig,
    check_fit,
    check_heads,
    is_model_folder,
)
from llasa.models.voice import SUFFIX, Voice
from llasa.vocabulary.vocabulary import Vocabulary

Previews = Callable[[Path, Sequence[Voice]], None]
"""Speaks in each voice of a model folder, and keeps what it said beside the voice."""


@dataclass(frozen=True)
class _Parts:
    """The parts of a model, checked to fit together."""

    vocabulary: Vocabulary
    llama: Llama
    codec: Codec
    voices: list[Voice]


def pack_model(
    lm: str | Path,
    codec: str | Path,
    out: str | Path,
    settings: ModelConfig,
    *,
    voices: Iterable[Voice] = (),
    previews: Previews | None = None,
    card: str = "",
    half: bool = True,
    adapter: Path | None = None,
) -> Path:
    """Write a model folder from a language model and a codec.

    Args:
        lm: folder with config, weights, tokenizer and vocabulary.
        codec: codec folder, hub id, or a model to take it from.
        out: the folder to write; a model folder that is already there is replaced.
        settings: name and defaults; `lm` and `codec` in it are ignored.
        voices: voices to put in, made with this codec.
        previews: called with the folder, which is complete but still has a temporary name, and
            the voices; it puts `NAME.opus` beside each.
        card: text of README.md; by default a few lines of sizes.
        half: store float16 instead of float32.
        adapter: folder of a LoRA adapter, which is kept beside the weights and merged when the
            model is loaded.

    Raises `LlasaError` where the parts do not belong together, a setting is not valid, or `out`
    is something else.
    """
    out = Path(os.path.abspath(out))
    check_target(out)
    parts = _checked_parts(lm, codec, settings, voices)
    if adapter is not None:
        with_adapter(parts.llama.state_dict(), adapter)
    if previews is not None and not parts.voices:
        raise LlasaError("A preview is spoken in voices, but no voice was given.")
    with published_folder(out) as folder:
        _write(folder, parts, settings, card, half)
        if adapter is not None:
            for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
                shutil.copyfile(adapter / name, folder / "lm" / name)
        if previews is not None:
            previews(folder, parts.voices)
    return out


def check_target(out: Path) -> None:
    """`LlasaError` if something else than a model folder is in that place."""
    empty = out.is_dir() and not any(out.iterdir())
    if out.exists() and not (empty or is_model_folder(out)):
        raise LlasaError(f"{out} exists and is not a model folder: name another folder.")


def _checked_parts(
    lm: str | Path, codec: str | Path, settings: ModelConfig, voices: Iterable[Voice]
) -> _Parts:
    """Load everything and see that it fits together."""
    check_name(settings.name, "model name")
    settings.check()
    settings.rule()
    parts = _Parts(
        Vocabulary.load(lm), load_llama(lm), Codec.load(find_codec(codec), "cpu"), list(voices)
    )
    check_fit(parts.vocabulary, parts.llama.config.vocab_size, parts.codec)
    check_heads(settings.alignment, parts.llama.config)
    if parts.vocabulary.phones and settings.cloning:
        raise LlasaError(
            "A model with phone tokens cannot continue a voice prompt, which has none: "
            "pack it with cloning=False (--no-cloning)."
        )
    names: set[str] = set()
    for voice in parts.voices:
        if voice.name in names:
            raise LlasaError(f"Two of the voices are called {voice.name}: rename one of them.")
        names.add(voice.name)
        if len(voice.codes) and not (settings.cloning or parts.codec.speaker_size):
            raise LlasaError(f"Voice {voice.name} is a recording, but the model does not clone.")
        if not voice.fits(parts.codec):
            raise LlasaError(f"Voice {voice.name} was made with another codec: make it again.")
    if (default := settings.default_voice) is not None and default not in names:
        hint = did_you_mean(default, names)
        raise LlasaError(f"The default voice {default!r} is not among the voices given.{hint}")
    return parts


def _write(folder: Path, parts: _Parts, settings: ModelConfig, card: str, half: bool) -> None:
    """All files of the model."""
    save_llama(parts.llama, folder / "lm", half)
    parts.vocabulary.save(folder / "lm")
    parts.codec.save(folder / "codec", half=half)
    (folder / "voices").mkdir()
    for voice in parts.voices:
        voice.save(folder / "voices" / f"{voice.name}{SUFFIX}")
    values = {"model_type": MODEL_TYPE, **asdict(settings), "lm": "lm", "codec": "codec"}
    write_json(folder / DESCRIPTOR, values)
    parameters = sum(p.numel() for p in parts.llama.parameters()) / 1e6
    sizes = (
        f"# {settings.name}\n\nA Llasa model: {parameters:.1f} M parameters, "
        f"{parts.vocabulary.codebook_size:,} codes at {parts.codec.frame_rate:g} a second, "
        f"{folder_megabytes(folder):.1f} MB.\n"
    )
    write_atomic(folder / CARD, (card or sizes).encode())
