"""``llasa pack``: a model folder from a language model and a codec."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llasa.cli.options import add_sampling_flags, read_file, sampling_settings
from llasa.cli.parser import Parser
from llasa.files import folder_megabytes
from llasa.model_folder import Descriptor


def pack_command(pack: Parser) -> None:
    """Arguments of ``pack``."""
    pack.add_argument("lm", help="folder of the language model, as 'llasa train lm' writes it")
    pack.add_argument("codec", help="folder of the codec, a model to take it from, or a hub id")
    pack.add_argument("-o", "--output", required=True, metavar="FOLDER")
    pack.add_argument("--name", help="the model's name (default: the folder's)")
    pack.add_argument(
        "--voice",
        action="append",
        default=[],
        metavar="FILE",
        help="voice file to put in; may be repeated",
    )
    pack.add_argument("--default-voice", metavar="NAME")
    pack.add_argument("--card", metavar="FILE", help="model card (Markdown)")
    pack.add_argument("--no-cloning", action="store_true", help="it was not trained with prompts")
    pack.add_argument("--float32", action="store_true", help="store float32 instead of float16")
    group = pack.add_argument_group("defaults of the model")
    add_sampling_flags(group)
    group.add_argument(
        "--max-tokens",
        type=int,
        default=Descriptor.max_tokens,
        metavar="N",
        help=f"text, voice and speech together ({Descriptor.max_tokens})",
    )
    group.add_argument(
        "--chunk-chars",
        type=int,
        default=Descriptor.chunk_chars,
        metavar="N",
        help=f"characters from which a text is spoken in parts ({Descriptor.chunk_chars})",
    )
    pack.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the folder."""
    card = "" if args.card is None else read_file(args.card)
    from llasa.packing import pack_model
    from llasa.voice import Voice

    settings = Descriptor(
        name=Path(args.output).resolve().name if args.name is None else args.name,
        sampling=sampling_settings(args),
        max_tokens=args.max_tokens,
        chunk_chars=args.chunk_chars,
        default_voice=args.default_voice,
        cloning=not args.no_cloning,
    )
    out = pack_model(
        args.lm,
        args.codec,
        args.output,
        settings,
        voices=[Voice.load(path) for path in args.voice],
        card=card,
        half=not args.float32,
    )
    print(f"{out}: model {settings.name}, {folder_megabytes(out):.1f} MB", file=sys.stderr)
