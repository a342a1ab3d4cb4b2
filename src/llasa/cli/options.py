"""What the commands share: flags, reading text, and handing over speech."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.audio.formats import suffix_format
from llasa.audio.stretch import as_speed
from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import folder_megabytes, read_bytes, unwritable
from llasa.base.names import check_whole, plain
from llasa.base.threads import choose_threads
from llasa.cli.parser import Flags, Parser, add_flags, flag, given
from llasa.models.find import DEFAULT_MODEL, find_codec, find_model
from llasa.models.voices import VoiceBook, VoiceLike
from llasa.text import FORMATS, LANGUAGES, MAX_CHARS, check_text, read_lexicon
from llasa.text.languages import language_code

if TYPE_CHECKING:
    from llasa.codec.codec import Codec
    from llasa.tts.llasa import Llasa

STDIO = "-"
MARKDOWN_SUFFIXES = (".md", ".markdown")
EPUB, ZIP = ".epub", b"PK\x03\x04"
"""How the name of a book ends, and how the file begins."""
SAMPLING: Flags = {
    "temperature": (float, "T", "0 takes the likeliest token"),
    "top_k": (int, "K", "keep the K likeliest tokens"),
    "top_p": (float, "P", "keep the likeliest P of the mass"),
    "min_p": (float, "P", "keep tokens at least P as likely as the top one"),
    "repetition_penalty": (float, "X", "above 1 discourages recent tokens"),
    "repetition_window": (int, "N", "how many are recent (64; 0 is all)"),
}
SOUND: Flags = {
    "speed": (float, "X", "0.25 to 4, at the same pitch; 2 is twice as fast"),
    "pause": (float, "S", "seconds between sentences, in place of what their ends suggest"),
    "max_seconds": (float, "S", "cut the speech off there"),
}
SUBTITLES: Flags = {
    "srt": (str, "FILE", "also write subtitles (SubRip); without FILE beside the sound"),
    "vtt": (str, "FILE", "also write subtitles (WebVTT); without FILE beside the sound"),
    "timings": (str, "FILE", "also write when each word is heard (JSON), likewise"),
}
BESIDE = True
"""The value of one of `SUBTITLES` that was given without a file."""
_SUBTITLE_SUFFIXES = {"srt": ".srt", "vtt": ".vtt", "timings": ".json"}
RECORDING_HELP = "recording of one speaker: 1 to 30 s, best are 3 to 15 s"
TRANSCRIPT_HELP = "default: the .txt file beside it, or as a recogniser hears it"
DEVICE_HELP = "cpu, cuda, cuda:1 or mps (default: a GPU if there is one)"


def add_model_flags(command: Parser, int8: bool = False) -> None:
    """Flags for the model and its device, with `int8` also for 8-bit weights."""
    group = command.add_argument_group("model")
    group.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME",
        help=f"a shipped model (default: {DEFAULT_MODEL}), a model folder, or a hub id such as "
        "HKUSTAudio/Llasa-1B",
    )
    group.add_argument("--codec", metavar="NAME", help="another codec: a folder, hub id or model")
    group.add_argument("--device", help=DEVICE_HELP)
    if int8:
        group.add_argument("--int8", action="store_true", help="8-bit weights on the CPU")
        fast = "on the CPU, multiply in what is measured to be fastest (see llasa doctor)"
        group.add_argument("--fast", action="store_true", help=fast)


def add_speech_flags(command: Parser, seed: int | None = None, language: bool = True) -> None:
    """Flags for speaking: model, sampling, sound, reading (with `language` its language),
    checks."""
    add_model_flags(command, int8=True)
    help = "torch, or onnx, which needs no PyTorch (default: LLASA_ENGINE, else torch)"
    command.add_argument("--engine", choices=("torch", "onnx"), help=help)
    group = command.add_argument_group("sampling (default: as the model advises)")
    default = "drawn and reported" if seed is None else seed
    help = f"repeats a result (default: {default})"
    group.add_argument("--seed", type=int, default=seed, help=help)
    add_flags(group, SAMPLING)
    add_flags(command.add_argument_group("sound"), SOUND)
    force = "speak a script or language that the model does not know"
    command.add_argument("--force", action="store_true", help=force)
    group = command.add_argument_group("check (needs the extra search)")
    check = "have each sentence heard by a recogniser, and speak it again where a word is not right"
    group.add_argument("--check", action="store_true", help=check)
    add_flags(group, {"tries": (int, "N", "times that a sentence is spoken, at most (8)")})
    group = command.add_argument_group("reading")
    help = "leave numbers, dates, money, signs as they are; else they are spelled out"
    group.add_argument("--no-normalize", action="store_true", help=help)
    spoken = f"of text and speech; numbers are spelled out in {', '.join(LANGUAGES)} (default: en)"
    words = 'respellings, "Siobhan = shivawn" a line, on top of your own; see docs/text.md'
    marked = "how the text is marked up (default: markdown for .md files, else text)"
    if language:
        add_flags(group, {"language": (str, "CODE", spoken)})
    add_flags(group, {"lexicon": (str, "FILE", words)})
    group.add_argument("--format-in", choices=FORMATS, help=marked)


def speech_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The given flags for speaking, checked, as keywords of ``Llasa`` (without the seed)."""
    from llasa.lm.sampling import SamplingParams

    settings = given(args, *SAMPLING)
    SamplingParams(**settings, seed=args.seed or 0)
    if args.tries is not None and not args.check:
        raise LlasaError("--tries belongs to --check; a search has --best-of.")
    check_whole(tries=1 if args.tries is None else args.tries)
    switches = {name: True for name in ("check", "force") if getattr(args, name)}
    settings |= given(args, *SOUND, "tries")
    if args.speed is not None:
        as_speed(args.speed)
    return {**settings, **switches, **reading_settings(args)}


def reading_settings(args: argparse.Namespace) -> dict[str, Any]:
    """How the text is read, as keywords of ``Llasa``; checked."""
    language_code(args.language)
    settings: dict[str, Any] = given(args, "language", "format_in")
    if args.no_normalize:
        settings["normalize"] = False
    if args.lexicon is not None:
        settings["lexicon"] = read_lexicon(args.lexicon).entries
    source = getattr(args, "file", None) or ""
    if args.format_in is None and source.endswith(MARKDOWN_SUFFIXES):
        settings["format_in"] = "markdown"
    return settings


def engine_of(args: argparse.Namespace) -> str:
    """The engine that ``--engine`` names, if the command has it, else LLASA_ENGINE, else torch."""
    return getattr(args, "engine", None) or os.environ.get("LLASA_ENGINE") or "torch"


def load_model(
    args: argparse.Namespace, voices: Iterable[str | None] = (), share: int = 1, **settings: Any
) -> Llasa:
    """Load the model that the flags name; refuses voices it cannot speak with before that.

    `share`: parts of it that work at the same time, see `choose_threads`; `settings` go to
    `Llasa.open`.
    """
    files = find_model(args.model, args.codec)
    book = VoiceBook(files)
    for voice in voices:
        book.check(voice)
    from llasa.tts.llasa import Llasa

    engine = engine_of(args)
    if engine == "torch":
        choose_threads(folder_megabytes(files.lm), share)
    return Llasa.open(
        files, args.device, args.int8, **{"engine": engine, "fast": args.fast, **settings}
    )


def chosen_voice(tts: Llasa, args: argparse.Namespace) -> VoiceLike:
    """The voice of ``--voice``; with ``--transcript`` that of a recording with these words."""
    return args.voice if args.transcript is None else tts.clone(args.voice, args.transcript)


def load_codec(args: argparse.Namespace) -> Codec:
    """Load only the codec that the flags name."""
    codec = find_model(args.model).codec if args.codec is None else find_codec(args.codec)
    from llasa.codec.codec import Codec

    return Codec.load(codec, args.device)


def read_text(args: argparse.Namespace, default: str, limit: int | None = MAX_CHARS) -> str:
    """The text to speak: from the arguments, ``--file``, stdin, or the default; checked."""
    if args.text and args.file is not None:
        raise LlasaError("Give the text either as an argument or with --file, not both.")
    if args.file is not None or args.text == [STDIO]:
        text = read_file(STDIO if args.file is None else args.file)
    else:
        text = " ".join(args.text) if args.text else default
    check_text(text, limit)
    return text


def read_file(path: str) -> str:
    """UTF-8 text, or that of an EPUB, in a file, or in stdin for "-"."""
    data = read_input(path)
    if data.startswith(ZIP) or path.lower().endswith(EPUB):
        from llasa.text.epub import epub_text

        return epub_text(data, input_name(path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LlasaError(f"{input_name(path)} is not UTF-8 text: save it as UTF-8.") from error


def read_input(path: str) -> bytes:
    """Bytes of a file, or of stdin for "-"."""
    if not path:
        raise LlasaError("The name of the text file is empty: give a file, or - for stdin.")
    return sys.stdin.buffer.read() if path == STDIO else read_bytes(Path(path), "a text file")


def input_name(path: str) -> str:
    """Name of an input of `read_input` in error messages."""
    return "Standard input" if path == STDIO else path


def check_output(path: str, *, audio: bool = True) -> None:
    """Refuse a file that could not be written, before any work is done."""
    if audio:
        suffix_format(path)
    if (reason := unwritable(Path(path))) is not None:
        raise LlasaError(f"{path} cannot be written: {reason}.")


def subtitle_files(args: argparse.Namespace) -> dict[str, str]:
    """The files for subtitles and times that were named, as keywords of `write_timings`; checked.

    `LlasaError` where two of all files are the same.
    """
    files: dict[str, str] = {}
    for name, path in given(args, *SUBTITLES).items():
        if path is BESIDE and args.output in (None, STDIO):
            raise LlasaError(
                f"{flag(name)} without a name stands beside a file of sound: give one with -o, or "
                f"{flag(name)} FILE."
            )
        files[name] = path if path is not BESIDE else str(subtitle_file(name, Path(args.output)))
    named = [args.output, *files.values()]
    for name, path in files.items():
        if path == STDIO or named.count(path) > 1:
            raise LlasaError(f"{flag(name)} needs a file of its own, not {path}.")
        check_output(path, audio=False)
    if "timings" in files:
        files["json"] = files.pop("timings")
    return files


def subtitle_file(name: str, sound: Path) -> Path:
    """The file beside a sound for one of `SUBTITLES`."""
    return sound.with_suffix(_SUBTITLE_SUFFIXES[name])


def report(values: dict[str, Any], line: str, args: argparse.Namespace) -> None:
    """Print warnings, and what was made: a line on stderr, or with ``--json`` the values."""
    print_warnings(values.get("warnings", ()))
    if args.json:
        print_json(values)
    else:
        print(plain(line, kept="\n"), file=sys.stderr)


def print_warnings(warnings: Iterable[str], where: str = "") -> None:
    """A line each on stderr; `where` names one of many files."""
    for warning in warnings:
        print(f"llasa: warning: {where}{warning}", file=sys.stderr)


def print_json(value: Any) -> None:
    """One line of JSON on stdout, in UTF-8 whatever the terminal has."""
    write_stdout(jsonl.render(value))


def write_stdout(data: bytes) -> None:
    with standard_output():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextmanager
def standard_output() -> Iterator[None]:
    """Turn errors of writing to stdout into `LlasaError`; a closed pipe passes.

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
