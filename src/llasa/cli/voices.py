"""``llasa voices``: list, add, show and remove voices."""

from __future__ import annotations

import argparse
from pathlib import Path

from llasa.audio import read_audio
from llasa.cli.options import (
    add_model_flags,
    load_codec,
    print_json,
    standard_output,
)
from llasa.cli.parser import Parser
from llasa.errors import LlasaError
from llasa.model_folder import find_model
from llasa.names import check_name
from llasa.voice import SUFFIX, Voice, check_prompt, find_voice, user_folder, voice_files

ACTIONS = ("list", "add", "show", "remove")


def voices_command(voices: Parser) -> None:
    """Arguments of ``voices``."""
    voices.usage = (
        "llasa voices [list | show NAME | remove NAME | add NAME AUDIO --transcript TEXT]"
    )
    voices.add_argument("action", nargs="?", choices=ACTIONS, default="list")
    voices.add_argument("name", nargs="?")
    voices.add_argument("audio", nargs="?", help="recording: 3 to 15 s of one speaker")
    voices.add_argument("--transcript", help="the words spoken in the recording")
    voices.add_argument("--json", action="store_true", help="JSON on stdout (list and show)")
    add_model_flags(voices)
    voices.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Do one of the four."""
    if args.action == "list":
        _list(args)
    elif args.name is None:
        raise LlasaError(f"Name the voice: llasa voices {args.action} NAME ...")
    elif args.action == "add":
        _add(args)
    elif args.action == "show":
        _show(args)
    else:
        _remove(args.name)


def _files(args: argparse.Namespace) -> dict[str, Path]:
    return voice_files(user_folder(), *find_model(args.model, args.codec).voices)


def _list(args: argparse.Namespace) -> None:
    default = find_model(args.model, args.codec).settings.default_voice
    files = _files(args)
    rows = [_about(find_voice(name, files), path) for name, path in files.items()]
    if args.json:
        print_json([{**row, "default": row["name"] == default} for row in rows])
        return
    with standard_output():
        for row in rows:
            mark = " (default)" if row["name"] == default else ""
            print(
                f"{row['name']}{mark}  {row['seconds']:.1f} s  {row['from']}  {row['transcript']}"
            )
        if not rows:
            print("No voices yet: add one with 'llasa voices add NAME AUDIO --transcript TEXT'.")


def _about(voice: Voice, path: Path) -> dict[str, object]:
    return {
        "name": voice.name,
        "seconds": round(voice.seconds, 2),
        "from": "yours" if path.parent == user_folder() else "model",
        "transcript": voice.transcript,
        "speaker": voice.speaker,
        "codec": voice.codec,
        "file": str(path),
    }


def _show(args: argparse.Namespace) -> None:
    files = _files(args)
    about = _about(find_voice(args.name, files), files[args.name])
    if args.json:
        print_json(about)
        return
    with standard_output():
        for key, value in about.items():
            print(f"{key}: {'' if value is None else value}")


def _add(args: argparse.Namespace) -> None:
    if args.audio is None or args.transcript is None:
        raise LlasaError(
            "A voice needs a recording and its words: "
            "llasa voices add NAME AUDIO --transcript TEXT."
        )
    check_name(args.name, "voice name")
    check_prompt(read_audio(args.audio).mono(), args.audio)  # before the codec is loaded
    voice = Voice.from_audio(args.audio, args.transcript, load_codec(args), args.name)
    path = keep(voice)
    print(f"Voice {voice.name} ({voice.seconds:.1f} s) is kept in {path}.")


def keep(voice: Voice) -> Path:
    """Save among the user's voices."""
    path = user_folder() / f"{voice.name}{SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LlasaError(f"{path.parent} cannot be made: {error.strerror}.") from error
    voice.save(path)
    return path


def _remove(name: str) -> None:
    files = voice_files(user_folder())
    find_voice(name, files)
    files[name].unlink()
    print(f"Voice {name} is removed.")
