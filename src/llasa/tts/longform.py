"""Texts of any length straight into a sound file, with constant memory and resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import encoder, suffix_format
from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import atomic_path, beside, only_writer, reason
from llasa.base.names import whole
from llasa.models.identity import identity, voice_identity
from llasa.models.voices import VoiceLike
from llasa.search.result import Check
from llasa.tts.check import Checked
from llasa.tts.llasa import BATCH, Llasa
from llasa.tts.request import Part, Request


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
    max_seconds: float | None = None,
    check: bool = False,
    tries: int | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
    **sampling: Any,
) -> LongSpeech:
    """Speak a text of any length into a file; it sounds as `tts(text)` would.

    Sound is encoded as it is made, and the file appears when it is complete. What is spoken is
    kept in `PATH.resume` until then, as codes: after an interruption the same call goes on from
    there, with the seed of the first run if none is given. A part for which the model says nothing
    becomes a pause and a warning. One process writes a file at a time.

    Args:
        path: wav, flac, mp3, ogg or opus file.
        max_seconds: cut the file off there; what follows is not spoken.
        progress: called with the characters that are done, and all of them.
        voice, seed, check, tries, sampling: see `Llasa.__call__`.

    Raises `LlasaError` for bad input, or a file that cannot be written.
    """
    began = time.perf_counter()
    path, form = Path(path), suffix_format(path)
    checked = tts.checked(tries, sampling.get("language")) if check else None
    request = tts.request(
        text, voice=voice, seed=seed, max_seconds=max_seconds, max_chars=None, **sampling
    )
    total, last = sum(len(chunk.text) for chunk in request.chunks), len(request.chunks) - 1
    chars = samples = tokens = 0
    most = None if request.longest == float("inf") else max(1, round(request.longest * tts.rate))
    given = [chunk.given for chunk in request.chunks]
    own = [given, voice_identity(request.voice), asdict(request.rule), request.longest]
    own += [checked.identity] if checked else []
    with only_writer(path):
        journal = Journal(
            beside(path, ".resume"),
            identity([tts.identity, *own]),
            request.seed,
            seed is None,
            last + 1,
            tts.codec.codebook_size,
        )
        request.seed, resumed = journal.seed, journal.parts
        with (
            closing(journal),
            atomic_path(path) as temporary,
            encoder(temporary, form, tts.rate) as write,
        ):
            for number, part in enumerate(_parts(tts, request, journal, checked)):
                sound = request.joined(number, part.samples, tts.rate)
                sound = sound if most is None else sound[: most - samples]
                write(sound)
                samples, tokens = samples + len(sound), tokens + len(part.codes)
                chars += len(part.text)
                progress(chars, total)
                if samples == most:
                    break
        journal.remove()
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


class _Kept(NamedTuple):
    """A part as the journal holds it."""

    codes: NDArray[np.int64]
    cut: bool
    warnings: list[str]
    checks: list[Check]


class Journal:
    """The codes of all parts that are spoken, one JSON line each, after a line that says of what.

    What another text, model, voice or setting left is replaced. From the first line on that is not
    what was written there, such as one that a crash cut off, everything is dropped. `seed` is that
    of the first run where `any_seed`; `most` and `codebook_size` bound parts and codes.
    """

    def __init__(
        self, path: Path, of: str, seed: int, any_seed: bool, most: int, codebook_size: int
    ) -> None:
        self._path, self.seed, self.parts = path, seed, 0
        self._most, self._codebook_size = most, codebook_size
        try:
            self._file: IO[bytes] = path.open("a+b")
            end = self._check(of, any_seed)
            self._file.truncate(end)
            if not end:
                self._write({"of": of, "seed": seed})
        except OSError as error:
            raise LlasaError(f"{path} cannot be written: {reason(error)}.") from error

    def _check(self, of: str, any_seed: bool) -> int:
        """Count the parts; bytes of the lines that are sound, 0 where the file is of no use."""
        self._file.seek(0)
        end = 0
        for line in self._file:
            try:
                if end:
                    self._part(line, self.parts)
                    self.parts += 1
                else:
                    self.seed = self._begun(line, of, any_seed)
            except LlasaError:
                break
            end += len(line)
        return end

    def _begun(self, line: bytes, of: str, any_seed: bool) -> int:
        """The seed in the first line; `LlasaError` where it is about something else."""
        values = jsonl.parse_object(line, str(self._path))
        seed = whole("seed", values.get("seed"), 0)
        if values.get("of") != of or not (any_seed or seed == self.seed):
            raise LlasaError(f"{self._path} is about something else.")
        return seed

    def _part(self, line: bytes, number: int) -> _Kept:
        """A part; `LlasaError` for any other line."""
        values = jsonl.parse_object(line, str(self._path))
        codes: Any = values.get("codes")
        cut: Any = values.get("cut")
        sound = isinstance(codes, list) and isinstance(cut, bool) and line.endswith(b"\n")
        sound = sound and values.get("part") == number < self._most
        if not sound or any(type(c) is not int or not 0 <= c < self._codebook_size for c in codes):
            raise LlasaError(f"{self._path} is damaged.")
        try:
            checks = list(map(Check.from_dict, values.get("checks", ())))
            warnings = list(map(str, values.get("warnings", ())))
        except (TypeError, KeyError, ValueError) as error:
            raise LlasaError(f"{self._path} is damaged.") from error
        return _Kept(np.array(codes, dtype=np.int64), cut, warnings, checks)

    def read(self) -> Iterator[_Kept]:
        """The parts that were there at the beginning."""
        with self._path.open("rb") as file:
            next(file)
            for number in range(self.parts):
                yield self._part(next(file), number)

    def add(self, part: Part) -> None:
        """Keep a part."""
        values: dict[str, Any] = {"part": self.parts, "codes": part.codes.tolist()}
        values |= {"cut": part.cut, "warnings": part.warnings}
        if part.search is not None and part.search.check is not None:
            values["checks"] = [part.search.check.to_dict()]
        self._write(values)
        self.parts += 1

    def _write(self, values: dict[str, Any]) -> None:
        self._file.write(jsonl.render(values))
        self._file.flush()

    def close(self) -> None:
        """Close the file; it stays."""
        self._file.close()

    def remove(self) -> None:
        """Delete the file, which is of no use any more."""
        self._path.unlink(missing_ok=True)
