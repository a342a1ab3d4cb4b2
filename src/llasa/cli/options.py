"""What the commands share: flags, reading text, and handing over speech."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.audio import suffix_format
from llasa.cli.parser import Parser
from llasa.errors import LlasaError
from llasa.model_folder import DEFAULT_MODEL, find_codec, find_model
from llasa.text import MAX_CHARS, clean_text
from llasa.voice_book import VoiceBook

if TYPE_CHECKING:
    from llasa.codec import Codec
    from llasa.speech import Speech
    from llasa.synthesis import Llasa

STDIO = "-"
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "repetition_window")
RECORDING_HELP = "recording of one speaker: 1 to 30 s, best are 3 to 15 s"


def add_model_flags(command: Parser) -> None:
    """Which model, and where it runs."""
    group = command.add_argument_group("model")
    group.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME",
        help=f"a shipped model (default: {DEFAULT_MODEL}), a model folder, or a hub id such as "
        "HKUSTAudio/Llasa-1B",
    )
    group.add_argument("--codec", metavar="NAME", help="another codec: a folder, hub id or model")
    group.add_argument("--device", help="cpu, cuda, cuda:1 or mps (default: a GPU if there is one)")


def add_speech_flags(command: Parser) -> None:
    """How to speak: model, sampling and the form of the report."""
    add_model_flags(command)
    command.add_argument("--int8", action="store_true", help="8-bit weights on the CPU")
    group = command.add_argument_group("sampling (default: as the model advises)")
    group.add_argument("--seed", type=int, help="repeats a result (default: drawn and reported)")
    add_sampling_flags(group)
    group.add_argument("--max-seconds", type=float, metavar="S", help="cut the speech off there")
    add_normalize_flag(command)
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")


def add_normalize_flag(command: Parser) -> None:
    """Whether numbers are spelt out before they are spoken."""
    command.add_argument(
        "--normalize", action="store_true", help="spell out numbers, dates, money and the like"
    )


def add_sampling_flags(group: argparse._ArgumentGroup) -> None:
    """How a token is chosen."""
    group.add_argument("--temperature", type=float, metavar="T", help="0 takes the likeliest token")
    group.add_argument("--top-k", type=int, metavar="K", help="keep the K likeliest tokens")
    group.add_argument("--top-p", type=float, metavar="P", help="keep the likeliest P of the mass")
    group.add_argument(
        "--min-p", type=float, metavar="P", help="keep tokens at least P as likely as the top one"
    )
    group.add_argument(
        "--repetition-penalty", type=float, metavar="X", help="above 1 discourages recent tokens"
    )
    group.add_argument(
        "--repetition-window", type=int, metavar="N", help="how many are recent (64; 0 is all)"
    )


def sampling_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The sampling flags that were given."""
    return {name: value for name in SAMPLING if (value := getattr(args, name)) is not None}


def speech_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The sampling flags that were given, checked, as keywords of ``Llasa`` (not the seed)."""
    settings = sampling_settings(args)
    from llasa.engine.sampling import SamplingParams

    SamplingParams(**settings, seed=args.seed or 0)
    if args.max_seconds is not None:
        settings["max_seconds"] = args.max_seconds
    if args.normalize:
        settings["normalize"] = True
    return settings


def load_model(
    args: argparse.Namespace, voices: Iterable[str | None] = (), **settings: Any
) -> Llasa:
    """Load the model that the flags name; refuses voices it cannot speak with before that.

    `settings` go to `Llasa.open`.
    """
    files = find_model(args.model, args.codec)
    book = VoiceBook(files)
    for voice in voices:
        book.get(voice)
    from llasa.synthesis import Llasa

    return Llasa.open(files, args.device, args.int8, **settings)


def load_codec(args: argparse.Namespace) -> Codec:
    """Load only the codec that the flags name."""
    codec = find_model(args.model).codec if args.codec is None else find_codec(args.codec)
    from llasa.codec import Codec

    return Codec.load(codec, args.device)


def read_text(args: argparse.Namespace, default: str, limit: int | None = MAX_CHARS) -> str:
    """The text to speak: from the arguments, ``--file``, stdin, or the default; checked."""
    if args.text and args.file is not None:
        raise LlasaError("Give the text either as an argument or with --file, not both.")
    if args.file is not None or args.text == [STDIO]:
        text = read_file(STDIO if args.file is None else args.file)
    else:
        text = " ".join(args.text) if args.text else default
    clean_text(text, limit)
    return text


def read_file(path: str) -> str:
    """UTF-8 text of a file, or of stdin for "-"."""
    if not path:
        raise LlasaError("The name of the text file is empty: give a file, or - for stdin.")
    try:
        data = sys.stdin.buffer.read() if path == STDIO else Path(path).read_bytes()
    except FileNotFoundError as error:
        raise LlasaError(f"{path} does not exist: give a text file.") from error
    except OSError as error:
        raise LlasaError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        name = "Standard input" if path == STDIO else path
        raise LlasaError(f"{name} is not UTF-8 text: save it as UTF-8.") from error


def check_output(path: str, *, audio: bool = True) -> None:
    """Refuse a file that could not be written, before any work is done."""
    if audio:
        suffix_format(path)
    target = Path(path)
    if target.is_dir():
        raise LlasaError(f"{path} cannot be written: it is a folder, give a file name.")
    if not target.parent.is_dir():
        raise LlasaError(f"{path} cannot be written: the folder {target.parent} does not exist.")
    if not os.access(target.parent, os.W_OK):
        raise LlasaError(f"{path} cannot be written: the folder {target.parent} is read-only.")


def check_speech_output(args: argparse.Namespace) -> None:
    """The same for speech, which may also go to stdout."""
    if args.output != STDIO:
        check_output(args.output)
    elif args.json:
        raise LlasaError("Both -o - and --json write to standard output: choose one.")
    elif sys.stdout.isatty():
        raise LlasaError("-o - would write audio to the terminal: pipe it, or name a file.")


def hand_over(speech: Speech, tts: Llasa, args: argparse.Namespace) -> None:
    """Write the speech where it was asked for and report on it."""
    if args.output == STDIO:
        with standard_output():
            sys.stdout.buffer.write(speech.audio.encode("wav"))
            sys.stdout.buffer.flush()
    else:
        speech.save(args.output)
    for warning in speech.warnings:
        print(f"llasa: warning: {warning}", file=sys.stderr)
    if args.json:
        print_json({"output": args.output, "model": args.model, **speech.to_dict()})
        return
    name = "stdout" if args.output == STDIO else args.output
    random = "voice random" if tts.settings.cloning else "the model's own voice"
    print(
        f"{name}: {speech.seconds:.1f} s of audio in {speech.total:.1f} s (RTF {speech.rtf:.2f}), "
        f"{speech.tokens_per_second:.0f} tokens/s, first audio after {speech.first_audio:.2f} s, "
        f"{f'voice {speech.voice}' if speech.voice else random}, seed {speech.seed}",
        file=sys.stderr,
    )


def print_json(value: Any) -> None:
    """One line of JSON on stdout, in UTF-8 whatever the terminal has."""
    line = json.dumps(value, ensure_ascii=False) + "\n"
    with standard_output():
        sys.stdout.buffer.write(line.encode(errors="replace"))
        sys.stdout.buffer.flush()


@contextmanager
def standard_output() -> Iterator[None]:
    """Says what failed where stdout cannot be written; a closed pipe passes.

    Characters that the terminal does not have are escaped.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise LlasaError(f"Standard output cannot be written: {error.strerror}.") from error
