"""``llasa say`` and ``llasa clone``."""

from __future__ import annotations

import argparse
from pathlib import Path

from llasa.cli.options import (
    Commands,
    Parser,
    add_speech_flags,
    check_output,
    check_speech_output,
    hand_over,
    load_model,
    read_text,
    speech_settings,
)
from llasa.names import check_name

GREETING = "Hello! I am a Llama, and I can speak."
DEFAULT_OUTPUT = "llasa.wav"


def add_commands(commands: Commands[Parser]) -> None:
    """Add both commands."""
    say = commands.add_parser("say", help="speak a text")
    _add_text_flags(say)
    say.add_argument(
        "--voice", metavar="NAME", help="a name from 'llasa voices', a voice file, or random"
    )
    add_speech_flags(say)
    say.set_defaults(run=run_say)

    clone = commands.add_parser("clone", help="speak a text in the voice of a recording")
    clone.add_argument("audio", help="recording: 3 to 15 s of one speaker")
    _add_text_flags(clone)
    clone.add_argument("--transcript", required=True, help="the words spoken in the recording")
    clone.add_argument(
        "--save-voice", metavar="NAME", help="keep the voice under a name, or as a .safetensors file"
    )
    add_speech_flags(clone)
    clone.set_defaults(run=run_clone)


def _add_text_flags(command: Parser) -> None:
    command.add_argument(
        "text", nargs="*", help="what to say, or - to read stdin (default: a greeting)"
    )
    command.add_argument("-f", "--file", help="read the text from a file")
    command.add_argument(
        "-o",
        "--output",
        default=DEFAULT_OUTPUT,
        metavar="FILE",
        help=f"wav, flac, mp3, ogg or opus file, or - for WAV on stdout (default: {DEFAULT_OUTPUT})",
    )


def run_say(args: argparse.Namespace) -> None:
    """Speak a text."""
    text = read_text(args, GREETING)
    check_speech_output(args)
    tts = load_model(args)
    hand_over(tts(text, voice=args.voice, seed=args.seed, **speech_settings(args)), args)


def run_clone(args: argparse.Namespace) -> None:
    """Speak a text in the voice of a recording."""
    from llasa.audio import read_audio
    from llasa.voice import SUFFIX, check_prompt, user_folder

    text = read_text(args, GREETING)
    check_speech_output(args)
    keep: Path | None = None
    if args.save_voice:
        keep = Path(args.save_voice)
        if keep.suffix == SUFFIX:
            check_output(str(keep), audio=False)
            check_name(keep.stem, "voice name")
        else:
            keep = user_folder() / f"{check_name(args.save_voice, 'voice name')}{SUFFIX}"
    check_prompt(read_audio(args.audio).mono(), args.audio)  # before the model is loaded
    tts = load_model(args)
    voice = tts.clone(args.audio, args.transcript, name=keep.stem if keep else "clone")
    speech = tts(text, voice=voice, seed=args.seed, **speech_settings(args))
    if keep:
        keep.parent.mkdir(parents=True, exist_ok=True)
        voice.save(keep)
    hand_over(speech, args)
