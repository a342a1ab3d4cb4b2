"""``llasa say`` and ``llasa clone``."""

from __future__ import annotations

import argparse
from pathlib import Path

from llasa.audio import FORMATS, read_audio
from llasa.cli.batch import DEFAULT_BATCH_SIZE, DEFAULT_FORMAT, run_batch
from llasa.cli.long import LONG_CHARS, say_long, say_stream, text_file
from llasa.cli.options import (
    RECORDING_HELP,
    STDIO,
    add_speech_flags,
    check_output,
    check_speech_output,
    hand_over,
    load_model,
    read_text,
    speech_settings,
)
from llasa.cli.parser import Parser
from llasa.cli.search import add_search_flags, report_search, search_setting
from llasa.cli.voices import keep as keep_voice
from llasa.errors import LlasaError
from llasa.model_folder import find_model
from llasa.names import check_name
from llasa.text import MAX_CHARS

GREETING = "Hello! I am a Llama, and I can speak."
DEFAULT_OUTPUT = "llasa.wav"


def say_command(say: Parser) -> None:
    """Arguments of ``say``."""
    _add_text_flags(say)
    say.add_argument(
        "--voice", metavar="NAME", help="a name from 'llasa voices', a voice file, or random"
    )
    add_speech_flags(say)
    add_search_flags(say)
    say.add_argument(
        "--stream",
        action="store_true",
        help="16-bit PCM on stdout while it is made; text from - is spoken as it arrives",
    )
    group = say.add_argument_group("many texts")
    group.add_argument(
        "--batch",
        metavar="FILE",
        help='JSONL, {"text": ..., "id", "voice", "seed"} a line; -o is then a folder, and what is '
        "finished there is not spoken again",
    )
    group.add_argument(
        "--batch-size", type=int, metavar="N", help=f"texts at once ({DEFAULT_BATCH_SIZE})"
    )
    group.add_argument(
        "--format", choices=tuple(FORMATS), help=f"of the files of a batch ({DEFAULT_FORMAT})"
    )
    say.set_defaults(run=run_say)


def clone_command(clone: Parser) -> None:
    """Arguments of ``clone``."""
    clone.add_argument("audio", help=RECORDING_HELP)
    _add_text_flags(clone)
    clone.add_argument("--transcript", required=True, help="the words spoken in the recording")
    clone.add_argument(
        "--save-voice",
        metavar="NAME",
        help="keep the voice under a name, or as a .safetensors file",
    )
    add_speech_flags(clone)
    add_search_flags(clone)
    clone.set_defaults(run=run_clone)


def _add_text_flags(command: Parser) -> None:
    command.add_argument(
        "text", nargs="*", help="what to say, a .txt file, or - for stdin (default: a greeting)"
    )
    command.add_argument("-f", "--file", help="read the text from a file")
    command.add_argument(
        "-o",
        "--output",
        default=DEFAULT_OUTPUT,
        metavar="FILE",
        help="wav, flac, mp3, ogg or opus file, or - for WAV on stdout "
        f"(default: {DEFAULT_OUTPUT})",
    )


def run_say(args: argparse.Namespace) -> None:
    """Speak a text, or with ``--batch`` many."""
    if args.batch is not None:
        if args.text or args.file is not None:
            raise LlasaError("Give either a text or --batch, not both.")
        if args.output in (DEFAULT_OUTPUT, STDIO):
            raise LlasaError("--batch needs a folder for its files: add -o FOLDER.")
        if args.stream:
            raise LlasaError("Give either --batch or --stream, not both.")
        if args.batch_size is not None and args.batch_size < 1:
            raise LlasaError(f"--batch-size must be 1 or more, not {args.batch_size}.")
        if args.scores or args.keep_candidates is not None:
            raise LlasaError("--scores and --keep-candidates are for a single text, not a batch.")
        run_batch(args)
        return
    for flag, value in (("--format", args.format), ("--batch-size", args.batch_size)):
        if value is not None:
            raise LlasaError(f"{flag} belongs to --batch; a single file is named with -o.")
    args.file = file = text_file(args)
    if file is not None and args.text == [file]:
        args.text = []
    if args.stream:
        if args.output not in (DEFAULT_OUTPUT, STDIO):
            raise LlasaError("--stream plays to standard output: leave out -o, or give -o -.")
        if search_setting(args)[0] is not None:
            raise LlasaError("Give either --stream or a search, not both.")
        arriving = file is not None or args.text == [STDIO]
        text = None if arriving else read_text(args, GREETING)
        say_stream(args, text, speech_settings(args))
        return
    search, _ = search_setting(args)
    whole = file is None or args.output == STDIO or args.max_seconds is not None
    whole = whole or search is not None
    text = read_text(args, GREETING, MAX_CHARS if whole else None)
    check_speech_output(args)
    settings = speech_settings(args)
    if not whole and len(text) > LONG_CHARS:
        say_long(args, text, settings)
        return
    tts = load_model(args, [args.voice])
    speech = tts(text, voice=args.voice, seed=args.seed, search=search, **settings)
    report_search(speech, args)
    hand_over(speech, tts, args)


def run_clone(args: argparse.Namespace) -> None:
    """Speak a text in the voice of a recording."""
    from llasa.voice import SUFFIX, check_prompt, user_folder

    text = read_text(args, GREETING)
    check_speech_output(args)
    keep: Path | None = None
    if args.save_voice is not None:
        keep = Path(args.save_voice)
        if keep.suffix == SUFFIX:
            check_output(str(keep), audio=False)
            check_name(keep.stem, "voice name")
        else:
            keep = user_folder() / f"{check_name(args.save_voice, 'voice name')}{SUFFIX}"
    settings = speech_settings(args)
    check_prompt(read_audio(args.audio).mono(), args.audio)
    find_model(args.model, args.codec).settings.check_cloning()
    search, _ = search_setting(args)
    tts = load_model(args)
    voice = tts.clone(args.audio, args.transcript, name=keep.stem if keep else "clone")
    speech = tts(text, voice=voice, seed=args.seed, search=search, **settings)
    if keep:
        if keep.parent == user_folder():
            keep_voice(voice)
        else:
            voice.save(keep)
    report_search(speech, args)
    hand_over(speech, tts, args)
