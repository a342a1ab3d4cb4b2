"""``llasa transcribe``: writes down what recordings say."""

from __future__ import annotations

import argparse
from pathlib import Path

from llasa.audio.audio import read_audio
from llasa.base.errors import LlasaError
from llasa.base.files import folder_megabytes
from llasa.base.names import plain
from llasa.base.threads import choose_threads
from llasa.cli.options import add_model_flags, print_json, standard_output
from llasa.cli.parser import Parser
from llasa.models.find import find_model


def transcribe_command(transcribe: Parser) -> None:
    transcribe.add_argument("audio", nargs="+", metavar="FILE", help="recordings of any length")
    transcribe.add_argument("--json", action="store_true", help="a line of JSON for each file")
    add_model_flags(transcribe)
    transcribe.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """One line for each file, with its name where there are several."""
    for name in args.audio:
        if not Path(name).is_file():
            raise LlasaError(f"{name} does not exist: give recordings.")
    files = find_model(args.model, args.codec)
    choose_threads(folder_megabytes(files.lm))
    from llasa.verifiers.asr.llama import LlamaRecognizer

    recognizer = LlamaRecognizer(files, args.device)
    for name in args.audio:
        audio = read_audio(name)
        found = recognizer.hear(audio)
        if args.json:
            seconds, logprob = round(audio.duration, 3), round(found.logprob, 4)
            print_json({"audio": name, "text": found.text, "logprob": logprob, "seconds": seconds})
        else:
            with standard_output():
                prefix = f"{name}: " if len(args.audio) > 1 else ""
                print(plain(f"{prefix}{found.text}"), flush=True)
