"""``llasa say`` and ``llasa clone``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.audio.audio import read_audio
from llasa.audio.formats import FORMATS
from llasa.audio.live import LivePlayer
from llasa.audio.play import can_play, check_player
from llasa.base.errors import LlasaError
from llasa.base.names import check_name, plain
from llasa.cli.batch import DEFAULT_BATCH_SIZE, DEFAULT_FORMAT, run_batch
from llasa.cli.cast import CAST, cast_names, cast_settings
from llasa.cli.long import LONG_CHARS, STREAMED, say_long, say_stream, take_text_file
from llasa.cli.options import (
    BESIDE,
    RECORDING_HELP,
    STDIO,
    SUBTITLES,
    TRANSCRIPT_HELP,
    add_speech_flags,
    check_output,
    chosen_voice,
    load_model,
    read_text,
    report,
    speech_settings,
    subtitle_files,
    write_stdout,
)
from llasa.cli.parser import Flags, Parser, add_flags, flag, given
from llasa.cli.search_flags import add_search_flags, report_search, search_setting
from llasa.models.capabilities import capabilities
from llasa.models.find import find_model
from llasa.models.recording import check_prompt
from llasa.models.voice import SUFFIX, user_file
from llasa.models.voices import recording_file
from llasa.text import MAX_CHARS
from llasa.tts.subtitles import write_timings

if TYPE_CHECKING:
    from llasa.search.strategies import Strategy
    from llasa.tts.llasa import Llasa
    from llasa.tts.speech import Speech

GREETING = "Hello! I am a Llama, and I can speak."
DEFAULT_OUTPUT = "llasa.wav"


def say_command(say: Parser) -> None:
    _add_text_flags(say)
    voice: Flags = {
        "voice": (str, "NAME", "a name from 'llasa voices', a voice file, random, or a recording"),
        "transcript": (str, "TEXT", f"words of that recording ({TRANSCRIPT_HELP})"),
    }
    add_flags(say, {**voice, **CAST})
    add_speech_flags(say)
    add_search_flags(say)
    say.add_argument(
        "--stream",
        action="store_true",
        help="PCM (or --format) on stdout while it is made; text from - is spoken as it arrives",
    )
    many = 'a text a line (.txt), or JSONL with {"text": ..., "id", "voice", "seed"}; -o is then a '
    group = say.add_argument_group("many texts")
    batch: Flags = {
        "batch": (str, "FILE", f"{many}folder, and what is finished there is not spoken again"),
        "batch_size": (int, "N", f"texts at once ({DEFAULT_BATCH_SIZE})"),
    }
    add_flags(group, batch)
    say.set_defaults(run=run_say)


def clone_command(clone: Parser) -> None:
    clone.add_argument("audio", help=RECORDING_HELP)
    _add_text_flags(clone)
    words = f"the words spoken in the recording ({TRANSCRIPT_HELP})"
    clone.add_argument("--transcript", metavar="TEXT", help=words)
    kept = "keep the voice under a name, or as a .safetensors file"
    add_flags(clone, {"save_voice": (str, "NAME", kept)})
    add_speech_flags(clone)
    add_search_flags(clone)
    clone.set_defaults(run=run_clone)


def _add_text_flags(command: Parser) -> None:
    command.add_argument(
        "text",
        nargs="*",
        help="what to say, a .txt, .md or .epub file, or - for stdin (default: a greeting)",
    )
    command.add_argument("-f", "--file", help="read the text from a file")
    help = f"{', '.join(FORMATS)} file, or - for stdout (default: {DEFAULT_OUTPUT})"
    command.add_argument("-o", "--output", metavar="FILE", help=help)
    help = f"of what goes to stdout, or of the files of a batch ({DEFAULT_FORMAT})"
    command.add_argument("--format", choices=tuple(FORMATS), help=help)
    help = "play it while it is made (parts get no second try); -o names a file to write, too"
    command.add_argument("--play", action="store_true", help=help)
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")
    add_flags(command.add_argument_group("subtitles"), SUBTITLES, nargs="?", const=BESIDE)
    command.set_defaults(bare=False)


def run_say(args: argparse.Namespace) -> None:
    """Speak a text, or with ``--batch`` many."""
    if args.batch is not None:
        _check_batch(args)
        run_batch(args)
        return
    for name in given(args, "batch_size"):
        raise LlasaError(f"{flag(name)} belongs to --batch; a single file is named with -o.")
    if args.transcript is not None and recording_file(args.voice) is None:
        raise LlasaError("--transcript belongs to a recording: add --voice FILE.wav.")
    take_text_file(args)
    search, _ = search_setting(args)
    if args.stream:
        _stream(args, search)
        return
    at_once = args.file is None or args.output == STDIO or args.max_seconds is not None or search
    text = read_text(args, GREETING, MAX_CHARS if at_once else None)
    long = not at_once and len(text) > LONG_CHARS
    check_speech_output(args, written=long)
    settings = speech_settings(args) | cast_settings(args)
    if long:
        say_long(args, text, settings)
        return
    tts = load_model(args, [args.voice, *cast_names(settings)])
    _speak(tts, text, args, voice=chosen_voice(tts, args), search=search, **settings)


def _check_batch(args: argparse.Namespace) -> None:
    """Refuse what does not go with ``--batch``."""
    if args.text or args.file is not None:
        raise LlasaError("Give either a text or --batch, not both.")
    if args.cast is not None:
        raise LlasaError("--cast is for one script, not for the lines of a batch.")
    if args.output in (None, STDIO):
        raise LlasaError("--batch needs a folder for its files: add -o FOLDER.")
    for name, file in given(args, *SUBTITLES).items():
        if file is not BESIDE:
            raise LlasaError(
                f"{flag(name)} {file} would be one file for many texts: with --batch give "
                f"{flag(name)} alone, which writes one beside each sound."
            )
    for name in ("stream", "play", "transcript"):
        if getattr(args, name):
            raise LlasaError(f"Give either --batch or {flag(name)}, not both.")
    if args.batch_size is not None and args.batch_size < 1:
        raise LlasaError(f"--batch-size must be 1 or more, not {args.batch_size}.")
    if args.scores or args.keep_candidates is not None:
        raise LlasaError("--scores and --keep-candidates are for a single text, not a batch.")


def _stream(args: argparse.Namespace, search: Strategy | None) -> None:
    """``--stream``: to stdout, while it is made."""
    if args.output not in (None, STDIO):
        raise LlasaError("--stream plays to standard output: leave out -o, or give -o -.")
    if args.play:
        raise LlasaError("--stream writes to standard output what --play would play: choose one.")
    if args.format not in (None, *STREAMED):
        raise LlasaError(
            f"--stream cannot write {args.format}, which is only complete at its end: take one of "
            f"{', '.join(STREAMED)}, or leave it out for raw samples."
        )
    for name in given(args, *SUBTITLES):
        raise LlasaError(f"{flag(name)} needs a speech that is complete: leave out --stream.")
    if search is not None:
        raise LlasaError("Give either --stream or a search, not both.")
    arriving = args.file is not None or args.text == [STDIO]
    if arriving and args.cast is not None:
        raise LlasaError("--cast needs the whole text, not one that arrives: leave out --stream.")
    text = None if arriving else read_text(args, GREETING)
    say_stream(args, text, speech_settings(args) | cast_settings(args))


def run_clone(args: argparse.Namespace) -> None:
    """Speak a text in the voice of a recording."""
    take_text_file(args)
    text = read_text(args, GREETING)
    check_speech_output(args)
    keep = None if args.save_voice is None else _voice_file(args.save_voice)
    settings = speech_settings(args)
    check_prompt(read_audio(args.audio).mono(), args.audio)
    capabilities(find_model(args.model, args.codec)).check_cloning()
    search, _ = search_setting(args)
    tts = load_model(args)
    voice = tts.clone(args.audio, args.transcript, name=keep.stem if keep else "clone")
    _speak(tts, text, args, voice=voice, search=search, **settings)
    if keep:
        voice.save(keep)


def _voice_file(name: str) -> Path:
    """The path to save a voice at: a named file, or one among the user's voices; checked."""
    path = Path(name)
    if path.suffix == SUFFIX:
        check_name(path.stem, "voice name")
    else:
        path = user_file(name)
    check_output(str(path), audio=False)
    return path


def _speak(tts: Llasa, text: str, args: argparse.Namespace, **options: Any) -> None:
    """Speak a text, with ``--play`` aloud, and hand the speech over."""
    if not args.play:
        hand_over(tts(text, seed=args.seed, **options), tts, args)
        return
    from llasa.tts.play_live import speak_live

    with LivePlayer(tts.rate) as player:
        speech = speak_live(tts, text, player.push, seed=args.seed, **options)
        hand_over(speech, tts, args)  # a file is there before all has been heard
        _finish(player, speech, args)


def hand_over(speech: Speech, tts: Llasa, args: argparse.Namespace) -> None:
    """Write the speech as was asked for, and report on it."""
    report_search(speech, args)
    if files := subtitle_files(args):
        write_timings(speech.text, speech.timings, **files)
    if args.output == STDIO:
        write_stdout(speech.audio.encode(args.format or DEFAULT_FORMAT))
    elif args.output is not None:
        speech.save(args.output)
    voice = "voice random" if tts.capabilities.can_clone else "the model's own voice"
    voice = f"voice {speech.voice}" if speech.voice else voice
    timings = {"timings": speech.timings.to_dict()} if args.json else {}
    where = {STDIO: "stdout", None: "played"}.get(args.output, args.output)
    report(
        {"output": args.output, "model": args.model, **speech.to_dict(), **timings},
        f"{plain(where)}: "
        f"{speech.seconds:.1f} s of audio in {speech.total:.1f} s (RTF {speech.rtf:.2f}), "
        f"{speech.tokens_per_second:.0f} tokens/s, first audio after {speech.first_audio:.2f} s, "
        f"{voice}, seed {speech.seed}",
        args,
    )


def _finish(player: LivePlayer, speech: Speech, args: argparse.Namespace) -> None:
    """Wait until all was played, or play it now; if that fails unasked for, write a file."""
    try:
        if not player.finish():
            speech.play()
    except LlasaError as error:
        if not args.bare or args.output is not None:
            raise
        speech.save(DEFAULT_OUTPUT)
        print(f"llasa: warning: {error} The speech is in {DEFAULT_OUTPUT}.", file=sys.stderr)


def check_speech_output(args: argparse.Namespace, written: bool = False) -> None:
    """Decide and check where the speech goes, before any work is done.

    `written`: it has to be in a file, whether it is played or not.
    """
    if args.bare and args.output is None and sys.stdout.isatty():
        args.play = can_play()
    elif args.play:
        check_player()
    if args.output is None and (written or not args.play):
        args.output = DEFAULT_OUTPUT
    subtitle_files(args)
    if args.format is not None and args.output != STDIO:
        raise LlasaError("--format is for -o - and --batch; a file has it in its name: -o a.mp3.")
    if args.output is None:
        return
    if args.output != STDIO:
        check_output(args.output)
    elif args.json:
        raise LlasaError("Both -o - and --json write to standard output: choose one.")
    elif sys.stdout.isatty():
        raise LlasaError("-o - would write audio to the terminal: pipe it, or name a file.")
