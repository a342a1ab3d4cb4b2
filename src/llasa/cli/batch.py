"""``llasa say --batch``: a JSONL file of texts to a folder of audio files, with resume.

    {"text": "Good morning.", "id": "greeting", "voice": "ann", "seed": 7}

Only `text` is required; a line may also be a plain JSON string, and in a `.txt` file each line is a
text as it is. `manifest.jsonl` in the folder gets
a line for each file that is finished, with the request that made it and the identity of all that
decides how it sounds, and can be given to `llasa tokenize`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import make_folder, only_writer
from llasa.base.names import check_choice, check_name, check_whole
from llasa.base.progress import progress
from llasa.base.rows import Rows
from llasa.cli.options import (
    SUBTITLES,
    engine_of,
    input_name,
    load_model,
    print_warnings,
    read_file,
    read_input,
    report,
    speech_settings,
    subtitle_file,
)
from llasa.cli.parser import given
from llasa.cli.search_flags import search_setting
from llasa.models.find import find_model
from llasa.models.identity import (
    file_identity,
    identity,
    speaking_identity,
    voice_identity,
)
from llasa.models.voices import VoiceBook, recording_file
from llasa.text import check_text
from llasa.tts.subtitles import write_timings
from llasa.tts.timing import Timings

if TYPE_CHECKING:
    from llasa.search.strategies import Strategy
    from llasa.tts.llasa import Llasa
    from llasa.tts.speech import Speech

KEYS = ("text", "id", "voice", "seed")
"""What a line may hold."""
MANIFEST, PLAIN_SUFFIX = "manifest.jsonl", ".txt"
DEFAULT_FORMAT, DEFAULT_BATCH_SIZE = "wav", 8


@dataclass(frozen=True)
class Line:
    """One text of the batch; `number` counts from 1."""

    number: int
    id: str
    text: str
    voice: str | None
    seed: int | None


def run_batch(args: argparse.Namespace) -> None:
    """Speak every line that is not finished yet."""
    lines = read_lines(args.batch, args.voice, args.seed)
    settings = speech_settings(args)
    search = search_setting(args)
    folder = make_folder(Path(args.output))
    with only_writer(folder):
        _speak_lines(args, lines, folder, settings, *search)


def _speak_lines(
    args: argparse.Namespace,
    lines: Sequence[Line],
    folder: Path,
    settings: dict[str, Any],
    search: Strategy | None,
    flags: dict[str, Any],
) -> None:
    """Speak lines into a folder that is locked for us."""
    form = args.format or DEFAULT_FORMAT
    files = find_model(args.model, args.codec)
    book, speaking = (
        VoiceBook(files),
        speaking_identity(files, args.int8, engine_of(args), args.fast),
    )
    voices = {name: _voice_identity(book, name) for name in {line.voice for line in lines}}
    reference = flags.get("search", {}).get("reference")
    heard = None if reference is None else file_identity(reference)
    subtitles = tuple(given(args, *SUBTITLES))

    def key(row: dict[str, Any]) -> str:
        if not (folder / row["audio"]).is_file():
            raise KeyError(row["audio"])
        if subtitles:
            Timings.from_dict(row["timings"], str(row["text"]))
        return str(row["id"])

    def row_of(line: Line) -> dict[str, Any]:
        """What decides how a line sounds."""
        names = {"model": args.model, "codec": args.codec, "int8": args.int8, "fast": args.fast}
        own = {"text": line.text, "voice": line.voice, "seed": line.seed}
        request = {**names, **own, **settings, **flags}
        exact = [line.text, voices[line.voice], line.seed, settings, flags, heard]
        exact = [*speaking.values(), *exact]
        row = {"audio": f"{line.id}.{form}", "id": line.id, "identity": identity(exact)}
        return {**row, "request": request}

    done = Rows(folder / MANIFEST, key)
    wanted = {line: row_of(line) for line in lines}
    todo = [
        line
        for line, row in wanted.items()
        if line.id not in done
        or any(done[line.id].get(name) != row[name] for name in ("audio", "identity"))
    ]
    for line in wanted.keys() - set(todo):
        _write_subtitles(folder, done[line.id], subtitles)
    tts = load_model(args, {line.voice for line in todo}) if todo else None
    failures: list[tuple[Line, str]] = []
    began, seconds, tokens = time.monotonic(), 0.0, 0
    size = 1 if search else args.batch_size or DEFAULT_BATCH_SIZE  # a search has a text at a time
    options = {**settings, "search": search}
    with closing(done):
        for line, outcome in _speak(tts, todo, options, size) if tts else ():
            if isinstance(outcome, str):
                failures.append((line, outcome))
                continue
            print_warnings(outcome.warnings, f"{wanted[line]['audio']}: ")
            outcome.save(folder / wanted[line]["audio"])
            timings = {"timings": outcome.timings.to_dict()}
            done.add({**wanted[line], **outcome.to_dict(), **timings})
            _write_subtitles(folder, done[line.id], subtitles)
            seconds, tokens = seconds + outcome.seconds, tokens + outcome.tokens
    took = time.monotonic() - began
    made, there = len(todo) - len(failures), len(lines) - len(todo)
    counts = {"files": made, "already_there": there, "failed": len(failures)}
    times = {"seconds": round(seconds, 3), "total_seconds": round(took, 3), "tokens": tokens}
    speed = f" (RTF {took / seconds:.2f}), {tokens / took:.0f} tokens/s" if seconds * took else ""
    report(
        {"output": args.output, "model": args.model, **counts, **times},
        f"{folder}: {made} files, {there} were there already; {seconds:.1f} s of audio in "
        f"{took:.1f} s{speed}",
        args,
    )
    if failures:
        line, reason = failures[0]
        raise LlasaError(
            f"{len(failures)} of {len(lines)} lines could not be spoken; "
            f"line {line.number}: {reason}"
        )


def _write_subtitles(folder: Path, row: dict[str, Any], names: Sequence[str]) -> None:
    """What was asked for of `SUBTITLES`, beside the sound of a row of the manifest."""
    if not names:
        return
    files = {name: subtitle_file(name, folder / row["audio"]) for name in names}
    found = Timings.from_dict(row["timings"], row["text"])
    write_timings(row["text"], found, files.get("srt"), files.get("vtt"), files.get("timings"))


def _voice_identity(book: VoiceBook, name: str | None) -> str | None:
    """That of a voice, or of a recording with its words in place of one; checked."""
    book.check(name)
    if (file := recording_file(name)) is None:
        return voice_identity(book.get(name))
    files = [file, file.with_suffix(".txt")]
    return identity([file_identity(path) for path in files if path.is_file()])


def _texts(path: str) -> Iterator[tuple[int, object]]:
    """What the lines of a file hold, with their numbers; empty ones are left out."""
    if not path.lower().endswith(PLAIN_SUFFIX):
        yield from jsonl.read(read_input(path), input_name(path))
        return
    for number, line in enumerate(read_file(path).split("\n"), 1):
        if line.strip():
            yield number, line.strip()


def read_lines(path: str, voice: str | None, seed: int | None) -> list[Line]:
    """Read and check the whole file, so that nothing is spoken when a line is wrong."""
    lines: list[Line] = []
    seen: dict[str, int] = {}
    name = input_name(path)
    for number, values in _texts(path):
        try:
            line = _line(number, values, voice, seed)
            if (first := seen.setdefault(line.id, number)) != number:
                raise LlasaError(f"the id {line.id!r} was used in line {first}.")
        except LlasaError as error:
            raise LlasaError(f"{name}, line {number}: {error}") from error
        lines.append(line)
    if not lines:
        raise LlasaError(
            f'{name} has no lines: give one JSON object a line, {{"text": "..."}}, or in a .txt '
            "file one text a line."
        )
    return lines


def _line(number: int, values: object, voice: str | None, seed: int | None) -> Line:
    if isinstance(values, str):
        values = {"text": values}
    if not isinstance(values, dict) or not isinstance(values.get("text"), str):
        raise LlasaError('it has no text: write {"text": "..."}.')
    for key in values:
        check_choice(key, KEYS, "")
    name = check_name(str(values.get("id", f"{number:05d}")), "id")
    voice, seed = values.get("voice", voice), values.get("seed", seed)
    check_whole(0, seed=0 if seed is None else seed)
    if not isinstance(voice, str | None):
        raise LlasaError("voice must be a name.")
    check_text(values["text"])
    return Line(number, name, values["text"], voice, seed)


def _speak(
    tts: Llasa, todo: list[Line], settings: dict[str, Any], size: int
) -> Iterator[tuple[Line, Speech | str]]:
    """The speech of each line, or the reason for a failure; a few lines at a time."""
    with progress(total=len(todo), unit="line", desc="say") as bar:
        heard = 0.0
        for start in range(0, len(todo), size):
            for line, outcome in _group(tts, todo[start : start + size], settings):
                bar.update()
                if not isinstance(outcome, str):
                    heard += outcome.seconds
                    bar.set_postfix_str(f"{heard:.0f} s of audio")
                yield line, outcome


def _group(
    tts: Llasa, lines: list[Line], settings: dict[str, Any]
) -> Iterator[tuple[Line, Speech | str]]:
    """Speak some lines at once; if that fails, each alone, so that only bad ones are lost."""
    try:
        speeches = tts(
            [line.text for line in lines],
            voice=[line.voice for line in lines],
            seed=[line.seed for line in lines],
            **settings,
        )
    except LlasaError as error:
        if len(lines) == 1:
            yield lines[0], str(error)
            return
        for line in lines:
            yield from _group(tts, [line], settings)
    else:
        yield from zip(lines, speeches, strict=True)
