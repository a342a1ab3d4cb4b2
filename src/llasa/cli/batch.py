"""``llasa say --batch``: a JSONL file of texts to a folder of audio files, with resume.

    {"text": "Good morning.", "id": "greeting", "voice": "ann", "seed": 7}

Only `text` is required; a line may also be a plain JSON string. `manifest.jsonl` in the folder gets
a line for each file that is finished, and can be given to `llasa tokenize`.
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
from llasa.errors import LlasaError
from llasa.files import write_atomic
from llasa.names import check_name
from llasa.text import clean_text

if TYPE_CHECKING:
    from llasa.speech import Speech
    from llasa.synthesis import Llasa

MANIFEST = "manifest.jsonl"


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
    folder = Path(args.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LlasaError(f"{folder} cannot be used as a folder: {error.strerror}.") from error
    finished = _finished(folder, args.format, {line.id: line.text for line in lines})
    todo = [line for line in lines if line.id not in finished]
    failures: list[tuple[Line, str]] = []
    began, seconds, tokens = time.monotonic(), 0.0, 0
    for line, outcome in _speak(todo, args) if todo else ():
        if isinstance(outcome, str):
            failures.append((line, outcome))
            continue
        name = f"{line.id}.{args.format}"
        outcome.save(folder / name)
        _append(folder / MANIFEST, {"audio": name, "id": line.id, **outcome.to_dict()})
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
    name = str(values.get("id", f"{number:05d}"))
    line = Line(
        number,
        check_name(name, "id"),
        clean_text(values["text"]).text,
        values.get("voice", voice),
        values.get("seed", seed),
    )
    if not isinstance(line.voice, str | None) or not isinstance(line.seed, int | None):
        raise LlasaError("voice must be a name and seed a whole number.")
    return line


def _finished(folder: Path, format: str, texts: dict[str, str]) -> set[str]:
    """Ids of the lines whose audio is complete; the manifest loses what is to be spoken anew."""
    path = folder / MANIFEST
    if not path.exists():
        return set()
    kept: dict[str, str] = {}
    for row in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(row)
            name, id_, text = values["audio"], values["id"], values["text"]
        except (ValueError, KeyError, TypeError):
            continue  # cut off by a crash
        whole = (folder / name).exists() and name == f"{id_}.{format}"
        if whole and texts.get(id_, text) == text:
            kept[id_] = row
    write_atomic(path, "".join(f"{row}\n" for row in kept.values()).encode())
    return set(kept)


def _append(path: Path, values: dict[str, Any]) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
    except OSError as error:
        raise LlasaError(f"{path} cannot be written: {error.strerror}.") from error


def _speak(todo: list[Line], args: argparse.Namespace) -> Iterator[tuple[Line, Speech | str]]:
    """Speech of each line, or the reason why there is none; a few lines at a time."""
    from tqdm import tqdm

    tts = load_model(args)
    settings = speech_settings(args)
    for voice in {line.voice for line in todo}:
        tts.voice(voice)  # an unknown voice stops the batch before it starts
    with tqdm(total=len(todo), unit="line", desc="say", disable=None) as bar:
        heard = 0.0
        for start in range(0, len(todo), args.batch_size):
            group = todo[start : start + args.batch_size]
            for line, outcome in _group(tts, group, settings):
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
