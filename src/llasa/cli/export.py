"""``llasa export``: a model for Transformers, llama.cpp, onnxruntime or a browser."""

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
  web         a folder of files for any web server: a page that speaks in the browser alone
"""


def export_command(export: Parser) -> None:
    export.formatter_class = argparse.RawDescriptionHelpFormatter
    export.epilog = _FORMATS
    export.add_argument("format", choices=("hf", "gguf", "onnx", "web"), help="one of those below")
    export.add_argument(
        "model", nargs="?", default=DEFAULT_MODEL, metavar="MODEL", help=_MODEL_HELP
    )
    help = "a new folder; for gguf a file"
    export.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help=help)
    help = "of the weights in a GGUF file (default: as they are stored)"
    export.add_argument("--type", choices=_TYPES, help=help)
    help = "for web, the folder dist of the npm package onnxruntime-web"
    export.add_argument("--runtime", type=Path, metavar="FOLDER", help=help)
    help = "for onnx and web, another codec: a folder, hub id or model"
    export.add_argument("--codec", metavar="NAME", help=help)
    export.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    if args.type is not None and args.format != "gguf":
        raise LlasaError("--type belongs to gguf: other formats keep the weights as they are.")
    if args.codec is not None and args.format not in ("onnx", "web"):
        raise LlasaError("--codec belongs to onnx and web: other formats hold no codec.")
    if (args.runtime is not None) != (args.format == "web"):
        raise LlasaError(
            "--runtime belongs to web, which needs it: run npm install onnxruntime-web, and give "
            "node_modules/onnxruntime-web/dist."
        )
    if args.format == "hf":
        from llasa.models.export.hf import export_hf

        out = export_hf(args.model, args.output)
    elif args.format == "gguf":
        from llasa.models.export.gguf import export_gguf

        out = export_gguf(args.model, args.output, args.type)
    elif args.format == "web":
        from llasa.models.export.web import export_web

        out = export_web(find_model(args.model, args.codec), args.output, args.runtime)
    else:
        from llasa.models.export.onnx import export_onnx

        out = export_onnx(find_model(args.model, args.codec), args.output)
    size = folder_megabytes(out) if out.is_dir() else out.stat().st_size / 1e6
    print(f"{plain(str(out))}: {args.format}, {size:.1f} MB", file=sys.stderr)
