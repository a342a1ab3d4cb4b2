"""``llasa export``: a model for Transformers, llama.cpp or onnxruntime."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.base.files import folder_megabytes
from llasa.base.names import plain
from llasa.cli.parser import Parser
from llasa.models.find import DEFAULT_MODEL, find_model

_MODEL_HELP = "a shipped model, a model folder, a folder with a language model, or a hub id"
_TYPES = ("f32", "f16", "bf16", "q8_0")
_FORMATS = """\
formats:
  hf          the language model as a folder for Transformers and vLLM
  gguf        the language model as a file for llama.cpp
  onnx        codec and language model as a model folder for onnxruntime
"""


def export_command(export: Parser) -> None:
    export.formatter_class = argparse.RawDescriptionHelpFormatter
    export.epilog = _FORMATS
    export.add_argument("format", choices=("hf", "gguf", "onnx"), help="one of those below")
    export.add_argument(
        "model", nargs="?", default=DEFAULT_MODEL, metavar="MODEL", help=_MODEL_HELP
    )
    help = "a new folder; for gguf a file"
    export.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help=help)
    help = "of the weights in a GGUF file (default: as they are stored)"
    export.add_argument("--type", choices=_TYPES, help=help)
    help = "for onnx, another codec: a folder, hub id or model"
    export.add_argument("--codec", metavar="NAME", help=help)
    export.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    if args.type is not None and args.format != "gguf":
        raise LlasaError("--type belongs to gguf: other formats keep the weights as they are.")
    if args.codec is not None and args.format != "onnx":
        raise LlasaError("--codec belongs to onnx: other formats hold no codec.")
    if args.format == "hf":
        from llasa.models.export.hf import export_hf

        out = export_hf(args.model, args.output)
    elif args.format == "gguf":
        from llasa.models.export.gguf import export_gguf

        out = export_gguf(args.model, args.output, args.type)
    else:
        from llasa.models.export.onnx import export_onnx

        out = export_onnx(find_model(args.model, args.codec), args.output)
    size = folder_megabytes(out) if out.is_dir() else out.stat().st_size / 1e6
    print(f"{plain(str(out))}: {args.format}, {size:.1f} MB", file=sys.stderr)
