"""The journal of a long text, from which an interrupted run is resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import reason
from llasa.base.names import whole
from llasa.search.result import Check
from llasa.tts.parts import KeptPart


class Journal:
    """The codes of all spoken parts, one JSON line each, after a header line that identifies text,
    model, voice and settings. A journal with another header is replaced. From the first damaged
    line on, such as one that a crash cut off, everything is dropped. `seed` is that of the first
    run where `any_seed`; `most` and `codebook_size` bound parts and codes.
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
        """Count the parts; returns the length in bytes of all valid lines, 0 if the file is
        useless."""
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

    def _part(self, line: bytes, number: int) -> KeptPart:
        """A part; `LlasaError` for any other line."""
        values = jsonl.parse_object(line, str(self._path))
        codes: Any = values.get("codes")
        cut: Any = values.get("cut")
        sound = isinstance(codes, list) and isinstance(cut, bool) and line.endswith(b"\n")
        sound = sound and values.get("part") == number < self._most
        if not sound or any(type(c) is not int or not 0 <= c < self._codebook_size for c in codes):
            raise LlasaError(f"{self._path} is damaged.")
        try:
            check = next(map(Check.from_dict, values.get("checks", ())), None)
            warnings = list(map(str, values.get("warnings", ())))
            phones = [(str(symbol), int(at)) for symbol, at in values.get("phones", ())]
        except (TypeError, KeyError, ValueError) as error:
            raise LlasaError(f"{self._path} is damaged.") from error
        return KeptPart(np.array(codes, dtype=np.int64), cut, warnings, check, phones)

    def read(self) -> Iterator[KeptPart]:
        """The parts of an earlier run."""
        with self._path.open("rb") as file:
            next(file)
            for number in range(self.parts):
                yield self._part(next(file), number)

    def add(self, part: KeptPart) -> None:
        """Keep a part."""
        values: dict[str, Any] = {"part": self.parts, "codes": part.codes.tolist()}
        values |= {"cut": part.cut, "warnings": list(part.warnings)}
        if part.phones:
            values["phones"] = list(part.phones)
        if part.check is not None:
            values["checks"] = [part.check.to_dict()]
        self._write(values)
        self.parts += 1

    def _write(self, values: dict[str, Any]) -> None:
        self._file.write(jsonl.render(values))
        self._file.flush()

    def close(self) -> None:
        """Close the file; it stays."""
        self._file.close()

    def remove(self) -> None:
        """Delete the file, as it is not needed any more."""
        self._path.unlink(missing_ok=True)
