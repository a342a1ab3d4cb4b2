"""``llasa pack``: a model folder from a language model and a codec."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from llasa.base.files import folder_megabytes
from llasa.cli.options import SAMPLING, read_file
from llasa.cli.parser import Flags, Parser, add_flags, given
from llasa.models.folder import ModelConfig, ReadingHeads
from llasa.models.voice import PREVIEW
from llasa.text import PLAIN, Form, check_text

if TYPE_CHECKING:
    from llasa.models.voice import Voice

_FORMS = {"all": Form(), "plain": PLAIN}


def pack_command(pack: Parser) -> None:
    pack.add_argument("lm", help="folder of the language model, as 'llasa train lm' writes it")
    pack.add_argument("codec", help="folder of the codec, a model to take it from, or a hub id")
    pack.add_argument("-o", "--output", required=True, metavar="FOLDER")
    add_flags(pack, {"name": (str, "NAME", "the model's name (default: the folder's)")})
    help = "voice file to put in; may be repeated"
    pack.add_argument("--voice", action="append", default=[], metavar="FILE", help=help)
    pack.add_argument("--default-voice", metavar="NAME")
    help = f"speak this in each voice, and keep it beside it as NAME{PREVIEW}"
    pack.add_argument("--preview", metavar="TEXT", help=help)
    pack.add_argument("--card", metavar="FILE", help="model card (Markdown)")
    pack.add_argument("--no-cloning", action="store_true", help="it was not trained with prompts")
    pack.add_argument("--hearing", action="store_true", help="it was trained to transcribe, too")
    help = "what it has seen of writing: all, or plain English sentences without digits, capitals"
    pack.add_argument("--form", choices=tuple(_FORMS), default="all", help=help)
    pack.add_argument("--float32", action="store_true", help="store float32 instead of float16")
    pack.add_argument(
        "--languages", nargs="+", default=[], metavar="CODE", help="all that it speaks, such as en"
    )
    help = "attention heads that say when words are spoken: their layer, and the offset of each"
    pack.add_argument("--alignment", nargs="+", type=float, metavar="N", help=help)
    tokens, chars = ModelConfig.max_tokens, ModelConfig.chunk_chars
    limits: Flags = {
        "max_tokens": (int, "N", f"text, voice and speech together ({tokens})"),
        "chunk_chars": (int, "N", f"characters of a part of a text, at most about ({chars})"),
        "pace": (float, "X", f"times slower than the average reader, at most ({ModelConfig.pace})"),
    }
    add_flags(pack.add_argument_group("defaults of the model"), {**SAMPLING, **limits})
    pack.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    card = "" if args.card is None else read_file(args.card)
    if args.preview is not None:
        check_text(args.preview)
    from llasa.models.pack import pack_model
    from llasa.models.voice import Voice

    settings = ModelConfig(
        name=Path(args.output).resolve().name if args.name is None else args.name,
        sampling=given(args, *SAMPLING),
        default_voice=args.default_voice,
        cloning=not args.no_cloning,
        form=_FORMS[args.form],
        languages=tuple(args.languages),
        hearing=args.hearing,
        alignment=_reading_heads(args.alignment),
        **given(args, "max_tokens", "chunk_chars", "pace"),
    )
    voices = [Voice.load(path) for path in args.voice]
    out = pack_model(
        args.lm,
        args.codec,
        args.output,
        settings,
        voices=voices,
        previews=None if args.preview is None else partial(speak_previews, args.preview),
        card=card,
        half=not args.float32,
    )
    print(f"{out}: model {settings.name}, {folder_megabytes(out):.1f} MB", file=sys.stderr)


def _reading_heads(numbers: Sequence[float] | None) -> ReadingHeads | None:
    """A layer and the offsets of its heads; `LlasaError` for other numbers."""
    if numbers is None:
        return None
    layer, *offsets = numbers
    return ReadingHeads.of({"layer": int(layer) if layer % 1 == 0 else layer, "offsets": offsets})


def speak_previews(text: str, folder: Path, voices: Sequence[Voice]) -> None:
    """Speak a text in each voice of a model folder, and keep it beside the voice."""
    from llasa.tts.llasa import Llasa

    tts = Llasa.load(folder, device="cpu")
    for voice in voices:
        tts(text, voice=voice, seed=0).save(folder / "voices" / f"{voice.name}{PREVIEW}")
