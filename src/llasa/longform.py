"""Texts of any length straight into a sound file, with constant memory and resume."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llasa.audio import encoder, suffix_format
from llasa.errors import LlasaError
from llasa.files import atomic_path
from llasa.request import Part, Request
from llasa.search.checked import Checked
from llasa.search.result import Check
from llasa.synthesis import BATCH, Llasa
from llasa.voice_book import VoiceLike


@dataclass(frozen=True)
class LongSpeech:
    """What came of a long text: parts in all, and those that an earlier run had already spoken."""

    parts: int
    resumed: int
    seconds: float
    """Length of the sound."""
    tokens: int
    total: float
    """Seconds of work in this run."""
    voice: str | None
    seed: int
    warnings: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    """How each part was heard, where the speech was checked."""


def speak_to_file(
    tts: Llasa,
    text: str,
    path: str | Path,
    *,
    voice: VoiceLike = None,
    seed: int | None = None,
    check: bool = False,
    tries: int | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
    **sampling: Any,
) -> LongSpeech:
    """Speak a text of any length into a file; it sounds as `tts(text)` would.

    Sound is encoded as it is made, and the file appears when it is complete. What is spoken is
    kept in `PATH.resume` until then, as codes: after an interruption the same call goes on from
    there, with the seed of the first run if none is given. A part for which the model says nothing
    becomes a pause and a warning.

    Args:
        path: wav, flac, mp3, ogg or opus file.
        progress: called with the characters that are done, and all of them.
        voice, seed, check, tries, sampling: see `Llasa.__call__`.

    Raises `LlasaError` for bad input, or a file that cannot be written.
    """
    began = time.perf_counter()
    path, form = Path(path), suffix_format(path)
    kept = path.with_name(f"{path.name}.resume")
    checked = tts.checked(tries) if check else None
    request = tts.request(text, voice=voice, seed=seed, max_chars=None, **sampling)
    journal = Journal(kept, _identity(tts, request, checked), request.seed, seed is None)
    request.seed, resumed = journal.seed, journal.parts
    total, last = sum(len(chunk.text) for chunk in request.chunks), len(request.chunks) - 1
    chars = samples = tokens = 0
    try:
        with atomic_path(path) as temporary, encoder(temporary, form, tts.rate) as write:
            for number, part in enumerate(_parts(tts, request, journal, checked)):
                sound = request.joined(number, part.samples, tts.rate)
                write(sound)
                samples, tokens = samples + len(sound), tokens + len(part.codes)
                chars += len(part.text)
                progress(chars, total)
    finally:
        journal.close()
    kept.unlink()
    return LongSpeech(
        parts=last + 1,
        resumed=resumed,
        seconds=samples / tts.rate,
        tokens=tokens,
        total=time.perf_counter() - began,
        voice=request.voice.name if request.voice else None,
        seed=request.seed,
        warnings=tuple(request.warnings),
        checks=tuple(request.checks),
    )


def _parts(tts: Llasa, request: Request, journal: Journal, check: Checked | None) -> Iterator[Part]:
    """All parts in order: those of the journal, decoded again, then new ones, some at a time."""
    for number, kept in enumerate(journal.read()):
        task = tts.task(request, number)
        sound = tts._decode(kept.codes, task) if len(kept.codes) else np.zeros(0, np.float32)
        part = Part(request.chunks[number].text, kept.codes, sound, kept.cut)
        request.parts = request.parts or [part]  # the first is the prompt of the others
        request.warnings += kept.warnings
        request.checks += kept.checks
        yield part
    while journal.parts < len(request.chunks):
        first = journal.parts
        numbers = range(first, min(len(request.chunks), first + BATCH)) if first else range(1)
        new = _new_parts(tts, request, list(numbers), check)
        for part in new:
            journal.add(part)
        yield from new


def _new_parts(
    tts: Llasa, request: Request, numbers: list[int], check: Checked | None
) -> list[Part]:
    """Speak parts together; where that fails, each alone, so that only the bad ones are lost."""
    warned, checked = len(request.warnings), len(request.checks)
    try:
        tts._speak([(request, number) for number in numbers], time.perf_counter(), check)
    except LlasaError as error:
        del request.parts[1:], request.warnings[warned:], request.checks[checked:]
        if numbers == [0]:
            raise
        if len(numbers) > 1:
            return [p for n in numbers for p in _new_parts(tts, request, [n], check)]
        request.warnings.append(str(error))
        nothing = np.zeros(0, np.int64), np.zeros(0, np.float32)
        return [Part(request.chunks[numbers[0]].text, *nothing, True, warnings=(str(error),))]
    new = request.parts[numbers[0] > 0 :]
    request.parts = request.parts[:1]
    return new


def _identity(tts: Llasa, request: Request, check: Checked | None) -> str:
    """What, besides the seed, decides how the text sounds."""
    voice = request.voice
    prompt = [voice.transcript, voice.speaker, voice.codes.tolist()] if voice else None
    given = [chunk.given for chunk in request.chunks]
    parts = [str(tts.files.lm), tts.codec.id, given, prompt, repr(request.rule)]
    parts += [check.identity] if check else []
    return hashlib.sha256(json.dumps(parts).encode(errors="replace")).hexdigest()


class _Kept(NamedTuple):
    """A part as the journal holds it."""

    codes: NDArray[np.int64]
    cut: bool
    warnings: list[str]
    checks: list[Check]


class Journal:
    """The codes of all parts that are spoken, one JSON line each, after a line that says of what.

    What another text, model, voice or setting left is replaced; a line that a crash cut off is
    dropped. `seed` is that of the first run where `any_seed`.
    """

    def __init__(self, path: Path, identity: str, seed: int, any_seed: bool) -> None:
        self._path, self.seed, self.parts = path, seed, 0
        try:
            self._file: IO[bytes] = path.open("a+b")
            end = self._check(identity, any_seed)
            self._file.truncate(end)
            if not end:
                self._write({"of": identity, "seed": seed})
        except OSError as error:
            raise LlasaError(f"{path} cannot be written: {error.strerror}.") from error

    def _check(self, identity: str, any_seed: bool) -> int:
        """Count the parts; bytes up to the last whole line, 0 where the file is of no use."""
        self._file.seek(0)
        end = 0
        for number, line in enumerate(self._file):
            try:
                values = json.loads(line)
                if number == 0:
                    if values["of"] != identity or not (any_seed or values["seed"] == self.seed):
                        return 0
                    self.seed = int(values["seed"])
                elif not (isinstance(values["codes"], list) and line.endswith(b"\n")):
                    break
            except (ValueError, KeyError, TypeError):
                break
            end += len(line)
            self.parts = number
        return end

    def read(self) -> Iterator[_Kept]:
        """The parts that were there at the beginning."""
        with self._path.open("rb") as file:
            next(file)
            for _ in range(self.parts):
                values = json.loads(next(file))
                codes = np.array(values["codes"], dtype=np.int64)
                checks = list(map(Check.from_dict, values.get("checks", ())))
                yield _Kept(codes, bool(values["cut"]), values.get("warnings", []), checks)

    def add(self, part: Part) -> None:
        """Keep a part."""
        values = {"codes": part.codes.tolist(), "cut": part.cut, "warnings": part.warnings}
        if part.search is not None and part.search.check is not None:
            values["checks"] = [part.search.check.to_dict()]
        self._write(values)
        self.parts += 1

    def _write(self, values: dict[str, Any]) -> None:
        self._file.write(json.dumps(values).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; it stays."""
        self._file.close()
