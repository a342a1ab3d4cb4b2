"""``llasa say`` for texts that are long or still arriving: into a file, or to stdout at once."""

from __future__ import annotations

import argparse
import codecs
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.audio.audio import read_audio
from llasa.audio.live import LivePlayer
from llasa.base.errors import LlasaError
from llasa.base.progress import progress
from llasa.cli.cast import cast_names
from llasa.cli.options import (
    EPUB,
    MARKDOWN_SUFFIXES,
    STDIO,
    chosen_voice,
    load_model,
    print_warnings,
    read_file,
    report,
    subtitle_files,
    write_stdout,
)

if TYPE_CHECKING:
    from llasa.tts.llasa import Llasa

LONG_CHARS = 2_000
"""Texts in files that are longer are spoken with progress and resume."""
STREAMED = ("wav", "mp3", "opus", "aac")
"""Formats that can be read before they are complete."""
TEXT_SUFFIXES = (".txt", *MARKDOWN_SUFFIXES, EPUB)


def take_text_file(args: argparse.Namespace) -> None:
    """Take a file that stands in place of the text for that of ``-f``.

    `LlasaError` for what can only be the name of such a file, where there is none.
    """
    words = args.text
    if args.file is not None or len(words) != 1 or not words[0].lower().endswith(TEXT_SUFFIXES):
        return
    (name,) = words
    if Path(name).is_file():
        args.file, args.text = name, []
    elif len(name.split()) == 1 and "://" not in name:
        raise LlasaError(
            f"{name} does not exist: give a text file, or to have the name itself spoken put it "
            "into a sentence."
        )


def say_long(args: argparse.Namespace, text: str, settings: dict[str, Any]) -> None:
    """Speak a long text into ``-o``, and with ``--play`` let it be heard meanwhile."""
    tts = load_model(args, [args.voice, *cast_names(settings)])
    settings = {"voice": chosen_voice(tts, args), "seed": args.seed, **settings}
    if not args.play:
        _write_long(tts, args, text, settings)
        return
    with LivePlayer(tts.rate) as player:
        _write_long(tts, args, text, settings | {"listener": player.push})
        if not player.finish():
            read_audio(args.output).play()


def _write_long(tts: Llasa, args: argparse.Namespace, text: str, settings: dict[str, Any]) -> None:
    """With a progress bar; Ctrl-C leaves what a next run needs."""
    from llasa.tts.longform import LongSpeech, speak_to_file
    from llasa.tts.subtitles import write_timings

    files = subtitle_files(args)
    timed = bool(files) or args.json

    with progress(unit="char", unit_scale=True, desc=args.output) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        def finish(speech: LongSpeech) -> None:
            if files:
                write_timings(text, speech.timings, **files)

        settings |= {"progress": advance, "finish": finish}
        try:
            speech = speak_to_file(tts, text, args.output, timed=timed, **settings)
        except KeyboardInterrupt:
            print(
                f"llasa: Run the same command again to go on with {args.output}.", file=sys.stderr
            )
            raise
    counts = {"parts": speech.parts, "resumed": speech.resumed, "tokens": speech.tokens}
    times = {"seconds": round(speech.seconds, 3), "total_seconds": round(speech.total, 3)}
    about = {"voice": speech.voice, "seed": speech.seed, "finish_reason": speech.finish_reason}
    told: dict[str, object] = {"warnings": list(speech.warnings)}
    told |= {"checks": [check.to_dict() for check in speech.checks]} if speech.checks else {}
    told |= {"timings": speech.timings.to_dict()} if args.json else {}
    report(
        {"output": args.output, "model": args.model, **counts, **times, **about, **told},
        f"{args.output}: {speech.seconds:.1f} s of audio in {speech.total:.1f} s, {speech.parts} "
        f"parts ({speech.resumed} from an earlier run), seed {speech.seed}",
        args,
    )


def say_stream(args: argparse.Namespace, text: str | None, settings: dict[str, Any]) -> None:
    """Write to stdout what is spoken as it is made: 16-bit PCM, or one of `STREAMED`.

    Where there is no text, that of stdin or a file.
    """
    from llasa.audio.encoding import StreamEncoder, check_encoder

    if args.format is not None:
        check_encoder(args.format)
    if args.json:
        raise LlasaError("Both --stream and --json write to standard output: choose one.")
    if sys.stdout.isatty():
        raise LlasaError("--stream would write audio to the terminal: pipe it to a player.")
    tts = load_model(args, [args.voice, *cast_names(settings)])
    voice = chosen_voice(tts, args)
    seed = secrets.randbits(31) if args.seed is None else args.seed
    began, first, seconds = time.perf_counter(), 0.0, 0.0
    encoder = None if args.format is None else StreamEncoder(args.format, tts.rate)
    source = fragments(args.file) if text is None else text
    for chunk in tts.stream(source, voice=voice, seed=seed, **settings):
        write_stdout(chunk.pcm() if encoder is None else encoder.push(chunk.samples))
        print_warnings(chunk.warnings)
        first = first or time.perf_counter() - began
        seconds += chunk.seconds
    if encoder is not None:
        write_stdout(encoder.finish())
    took = time.perf_counter() - began
    print(
        f"stdout: {seconds:.1f} s of audio in {took:.1f} s, first audio after {first:.2f} s, "
        f"{args.format or '16-bit PCM'}, mono, {tts.rate} Hz, seed {seed}",
        file=sys.stderr,
    )


def fragments(path: str | None) -> Iterator[str]:
    """The text of a file, or of stdin as it arrives."""
    if path not in (None, STDIO):
        yield read_file(str(path))
        return
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        while data := sys.stdin.buffer.read1(4096):  # type: ignore[union-attr]
            yield decoder.decode(data)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise LlasaError("Standard input is not UTF-8 text: save it as UTF-8.") from error
