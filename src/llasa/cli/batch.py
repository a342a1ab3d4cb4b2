"""``llasa say --batch``: a JSONL file of texts to a folder of audio files, with resume.

    {"text": "Good morning.", "id": "greeting", "voice": "ann", "seed": 7}

Only `text` is required; a line may also be a plain JSON string. `manifest.jsonl` in the folder gets
a line for each file that is finished, with the request that made it, and can be given to
`llasa tokenize`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.cli.options import load_model, print_json, read_file, speech_settings
from llasa.cli.search import search_setting
from llasa.errors import LlasaError
from llasa.files import write_atomic
from llasa.names import check_name, did_you_mean
from llasa.text import clean_text

if TYPE_CHECKING:
    from llasa.speech import Speech
    from llasa.synthesis import Llasa

KEYS = ("text", "id", "voice", "seed")
"""What a line may hold."""
MANIFEST = "manifest.jsonl"
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
    search, flags = search_setting(args)
    folder = Path(args.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LlasaError(f"{folder} cannot be used as a folder: {error.strerror}.") from error
    form = args.format or DEFAULT_FORMAT
    manifest = BatchManifest(folder)
    requests = {line.id: _request(line, args, {**settings, **flags}) for line in lines}
    todo = [
        line
        for line in lines
        if not manifest.holds(line.id, f"{line.id}.{form}", line.text, requests[line.id])
    ]
    tts = load_model(args, {line.voice for line in todo}) if todo else None
    failures: list[tuple[Line, str]] = []
    began, seconds, tokens = time.monotonic(), 0.0, 0
    size = 1 if search else args.batch_size or DEFAULT_BATCH_SIZE  # a search has a text at a time
    settings["search"] = search
    for line, outcome in _speak(tts, todo, settings, size) if tts else ():
        if isinstance(outcome, str):
            failures.append((line, outcome))
            continue
        name = f"{line.id}.{form}"
        outcome.save(folder / name)
        row = {"audio": name, "id": line.id, **outcome.to_dict(), "request": requests[line.id]}
        manifest.add(row)
        seconds, tokens = seconds + outcome.seconds, tokens + outcome.tokens
    took = time.monotonic() - began
    counts = {
        "files": len(todo) - len(failures),
        "already_there": len(lines) - len(todo),
        "failed": len(failures),
    }
    if args.json:
        times = {"seconds": round(seconds, 3), "total_seconds": round(took, 3), "tokens": tokens}
        print_json({"output": args.output, "model": args.model, **counts, **times})
    else:
        speed = f" (RTF {took / seconds:.2f}), {tokens / took:.0f} tokens/s" if seconds else ""
        print(
            f"{folder}: {counts['files']} files, {counts['already_there']} were there already; "
            f"{seconds:.1f} s of audio in {took:.1f} s{speed}",
            file=sys.stderr,
        )
    if failures:
        line, reason = failures[0]
        raise LlasaError(
            f"{len(failures)} of {len(lines)} lines could not be spoken; "
            f"line {line.number}: {reason}"
        )


def read_lines(path: str, voice: str | None, seed: int | None) -> list[Line]:
    """Read and check the whole file, so that nothing is spoken when a line is wrong."""
    lines: list[Line] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(read_file(path).splitlines(), 1):
        if not row.strip():
            continue
        try:
            line = _line(number, row, voice, seed)
        except LlasaError as error:
            raise LlasaError(f"{path}, line {number}: {error}") from error
        if line.id in seen:
            raise LlasaError(
                f"{path}, line {number}: the id {line.id!r} was used in line {seen[line.id]}."
            )
        seen[line.id] = number
        lines.append(line)
    if not lines:
        raise LlasaError(f'{path} has no lines: give one JSON object a line, {{"text": "..."}}.')
    return lines


def _line(number: int, row: str, voice: str | None, seed: int | None) -> Line:
    try:
        values = json.loads(row)
    except ValueError as error:
        raise LlasaError('it is not JSON: write {"text": "..."}.') from error
    if isinstance(values, str):
        values = {"text": values}
    if not isinstance(values, dict) or not isinstance(values.get("text"), str):
        raise LlasaError('it has no text: write {"text": "..."}.')
    for key in values:
        if key not in KEYS:
            raise LlasaError(
                f"{key!r} is unknown: valid are {', '.join(KEYS)}.{did_you_mean(key, KEYS)}"
            )
    name = str(values.get("id", f"{number:05d}"))
    line = Line(
        number,
        check_name(name, "id"),
        clean_text(values["text"]).text,
        values.get("voice", voice),
        values.get("seed", seed),
    )
    whole = isinstance(line.seed, int | None) and not isinstance(line.seed, bool)
    if not isinstance(line.voice, str | None) or not whole or (line.seed or 0) < 0:
        raise LlasaError("voice must be a name and seed a whole number of at least 0.")
    return line


def _request(line: Line, args: argparse.Namespace, settings: dict[str, Any]) -> dict[str, Any]:
    """What, besides the text, decides how a line sounds; kept in the manifest."""
    model = {"model": args.model, "codec": args.codec, "int8": args.int8}
    return {**model, "voice": line.voice, "seed": line.seed, **settings}


def _speak(
    tts: Llasa, todo: list[Line], settings: dict[str, Any], size: int
) -> Iterator[tuple[Line, Speech | str]]:
    """Speech of each line, or the reason why there is none; a few lines at a time."""
    from tqdm import tqdm

    with tqdm(total=len(todo), unit="line", desc="say", disable=None) as bar:
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
    """One request; where it fails, each line alone, so that only the bad ones are lost."""
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


class BatchManifest:
    """One row for each id. The file is first touched when something new is finished.

    A row stays as it is until another takes its id; what is no row (a line cut off by a crash) or
    has lost its audio goes with the first write.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / MANIFEST
        self._rows: dict[str, dict[str, Any]] = {}
        self._clean = True
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines(True)
        except FileNotFoundError:
            lines = []
        except OSError as error:
            raise LlasaError(f"{self._path} cannot be read: {error.strerror}.") from error
        for line in lines:
            try:
                values = json.loads(line)
                id_, there = str(values["id"]), (folder / values["audio"]).is_file()
            except (ValueError, KeyError, TypeError):
                there = False
            if there:
                self._rows[id_] = values
            self._clean &= there and line.endswith("\n")

    def holds(self, id: str, audio: str, text: str, request: dict[str, Any]) -> bool:
        """Whether the file `audio` is there and was made of this text with this request."""
        row = self._rows.get(id)
        asked = {"audio": audio, "text": text, "request": request}
        return row is not None and all(row.get(key) == value for key, value in asked.items())

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row, in place of an older one with its id."""
        replaces = self._rows.pop(row["id"], None) is not None
        self._rows[row["id"]] = row
        if replaces or not self._clean:
            write_atomic(self._path, b"".join(map(_row_bytes, self._rows.values())))
            self._clean = True
            return
        try:
            with self._path.open("ab") as file:
                file.write(_row_bytes(row))
        except OSError as error:
            raise LlasaError(f"{self._path} cannot be written: {error.strerror}.") from error


def _row_bytes(row: dict[str, Any]) -> bytes:
    return (json.dumps(row, ensure_ascii=False) + "\n").encode(errors="replace")
