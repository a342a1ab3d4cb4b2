"""``llasa voices``: list, add, show and remove voices."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from llasa.audio.audio import read_audio
from llasa.base.errors import LlasaError
from llasa.base.hub import NotDownloadedError
from llasa.base.names import nfc, plain
from llasa.cli.options import (
    RECORDING_HELP,
    TRANSCRIPT_HELP,
    add_model_flags,
    check_output,
    load_codec,
    print_json,
    standard_output,
)
from llasa.cli.parser import Parser
from llasa.models.capabilities import capabilities
from llasa.models.find import find_model
from llasa.models.folder import ModelFiles
from llasa.models.recording import check_prompt
from llasa.models.voice import (
    Voice,
    remove_voice,
    user_file,
    user_voices,
    voice_files,
)
from llasa.models.voices import VoiceBook, find_voice, unknown_voice

if TYPE_CHECKING:
    from llasa.codec.codec import Codec


FIELDS = ("name", "seconds", "from", "transcript", "speaker", "codec", "file", "default", "problem")
"""Fields shown for each voice; of a damaged file most are unknown."""


def voices_command(voices: Parser) -> None:
    voices.usage = (
        "llasa voices [list | show NAME | remove NAME | add NAME AUDIO [--transcript TEXT]]"
    )
    voices.add_argument("action", nargs="?", choices=tuple(ACTIONS), default="list")
    voices.add_argument("name", nargs="?")
    voices.add_argument("audio", nargs="?", help=RECORDING_HELP)
    words = f"the words spoken in the recording ({TRANSCRIPT_HELP})"
    voices.add_argument("--transcript", metavar="TEXT", help=words)
    voices.add_argument("--json", action="store_true", help="JSON on stdout (list and show)")
    add_model_flags(voices)
    voices.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    if args.action != "list" and args.name is None:
        raise LlasaError(f"Name the voice: llasa voices {args.action} NAME ...")
    args.name = None if args.name is None else nfc(args.name)
    ACTIONS[args.action](args)


def _rows(args: argparse.Namespace) -> list[dict[str, object]]:
    """What is known of each voice."""
    model: ModelFiles | None = None
    try:
        model = find_model(args.model, args.codec, download=False)
    except NotDownloadedError as error:
        print(f"llasa: {error} Only your own voices are known here.", file=sys.stderr)
    files = voice_files(*user_voices(), *(model.voices if model else []))
    voices: dict[str, Voice] = {}
    damaged: list[dict[str, object]] = []
    for name, file in files.items():
        try:
            voices[name] = find_voice(name, files)
        except LlasaError as error:
            damaged.append({"name": name, "file": str(file), "problem": str(error)})
    # The model's own voices fit its codec, so it is loaded for other voices only.
    others = [voice for name, voice in voices.items() if files[name].parent in user_voices()]
    others = list(voices.values()) if args.codec else others
    book = VoiceBook(model, _codec(model, others)) if model else None
    for name in book.replaced() if book else ():
        if args.name in (None, name):
            print(_instead(name, args.model), file=sys.stderr)
    default = model.settings.default_voice if model else None
    rows = [
        {
            "name": name,
            "seconds": round(voice.seconds, 2),
            "from": "yours" if files[name].parent in user_voices() else "model",
            "transcript": voice.transcript,
            "speaker": voice.speaker,
            "codec": voice.codec,
            "file": str(files[name]),
            "default": name == default,
            "problem": book.problem(voice) if book else None,
        }
        for name, voice in voices.items()
    ]
    return [*rows, *(dict.fromkeys(FIELDS) | row for row in damaged)]


def _codec(model: ModelFiles, voices: Iterable[Voice]) -> Codec | None:
    """The model's codec where a voice depends on it and the codec is at hand."""
    depends = capabilities(model).can_clone and any(len(voice.codes) for voice in voices)
    if not depends or not Path(model.codec).is_dir():
        return None
    from llasa.codec.codec import Codec

    return Codec.load(model.codec, "cpu")


def _list(args: argparse.Namespace) -> None:
    rows = _rows(args)
    if args.json:
        print_json(rows)
        return
    with standard_output():
        for row in rows:
            name = f"{row['name']}{' (default)' * bool(row['default'])}"
            name += " (unusable)" * bool(row["problem"])
            parts = [name]
            if row["codec"] is not None:
                parts += [f"{row['seconds']:.1f} s", str(row["from"]), str(row["transcript"])]
            print(plain("  ".join(parts)))
    if not rows:
        advice = "add one with 'llasa voices add NAME AUDIO --transcript TEXT'"
        print(f"No voices yet: {advice}.", file=sys.stderr)
    if any(row["problem"] for row in rows):
        advice = "'llasa voices show NAME' says why"
        print(f"{args.model} cannot speak with the unusable ones; {advice}.", file=sys.stderr)


def _instead(name: str, model: str) -> str:
    return f"Your voice {name} is used in place of the one that came with {model}."


def _show(args: argparse.Namespace) -> None:
    rows = {str(row["name"]): row for row in _rows(args)}
    if args.name not in rows:
        raise LlasaError(unknown_voice(args.name, rows))
    if args.json:
        print_json(rows[args.name])
        return
    with standard_output():
        for key, value in rows[args.name].items():
            print(plain(f"{key}: {'' if value is None else value}"))


def _add(args: argparse.Namespace) -> None:
    if args.audio is None:
        raise LlasaError("A voice needs a recording: llasa voices add NAME AUDIO.")
    path = user_file(args.name)
    check_output(str(path), audio=False)
    check_prompt(read_audio(args.audio).mono(), args.audio)  # before the codec is loaded
    from llasa.tts.recordings import cloned

    voice = cloned(args.audio, args.transcript, load_codec(args), args.name)
    voice.save(path)
    print(f"Voice {voice.name} ({voice.seconds:.1f} s) is kept in {path}.", file=sys.stderr)
    book = VoiceBook(find_model(args.model))
    if voice.name in book.replaced():
        print(f"llasa: warning: {_instead(voice.name, args.model)}", file=sys.stderr)
    if args.codec is None and (problem := book.problem(voice)):
        advice = "A voice for another model needs its codec: add --model or --codec"
        print(f"llasa: warning: {problem} {advice}.", file=sys.stderr)


def _remove(args: argparse.Namespace) -> None:
    files = voice_files(*user_voices())
    if args.name not in files:
        raise LlasaError(unknown_voice(args.name, files))
    remove_voice(files[args.name])
    print(f"Voice {args.name} is removed.", file=sys.stderr)


ACTIONS = {"list": _list, "add": _add, "show": _show, "remove": _remove}
