"""Lines of JSON: the one place that splits, reads and writes them.

A line ends at a line feed and nowhere else: texts may hold U+2028, U+2029 and U+0085, which
`str.splitlines` would cut at. Files are UTF-8, with or without a byte order mark. Strings may hold
halves of surrogate pairs, as paths that are not UTF-8 and cut emoji do; they are written as
escapes, so that nothing is lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from llasa.base.errors import LlasaError

MAX_DEPTH = 100
"""Lists and objects inside each other."""
_BOM = b"\xef\xbb\xbf"


def parse(data: bytes | str, where: str) -> Any:
    """The JSON value in `data`; `LlasaError`, which begins with `where`, for anything else."""
    if isinstance(data, bytes):
        try:
            data = data.removeprefix(_BOM).decode()
        except UnicodeDecodeError as error:
            raise LlasaError(f"{where}: it is not UTF-8 text; save the file as UTF-8.") from error
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise LlasaError(f"{where}: {_TOO_DEEP}") from error
    except ValueError as error:
        raise LlasaError(f"{where}: it is not valid JSON.") from error
    if data.count("[") + data.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise LlasaError(f"{where}: {_TOO_DEEP}")
    return value


def parse_object(data: bytes | str, where: str, example: str = "{...}") -> dict[str, Any]:
    """The JSON object in `data`; same errors as `parse`, with the `example`."""
    value = parse(data, where)
    if not isinstance(value, dict):
        raise LlasaError(f"{where}: it is not a JSON object such as {example}.")
    return value


def render(value: object, indent: int | None = None) -> bytes:
    """The value in UTF-8, on one line where there is no `indent`; its line feed included."""
    try:
        text = json.dumps(value, ensure_ascii=False, indent=indent).encode()
    except UnicodeEncodeError:  # halves of surrogate pairs
        text = json.dumps(value, indent=indent).encode()
    return text + b"\n"


def lines(data: bytes | Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Numbers, from 1, and bytes of all lines that are not blank; `data` may be an open file."""
    parts = data.split(b"\n") if isinstance(data, bytes) else data
    for number, line in enumerate(parts, 1):
        if not blank(line):
            yield number, line


def blank(line: bytes) -> bool:
    """Whether a line holds nothing, or nothing but a byte order mark."""
    return not line.strip().removeprefix(_BOM)


def read(
    data: bytes | Iterable[bytes], name: str, skip: Callable[[int, str], object] | None = None
) -> Iterator[tuple[int, Any]]:
    """Numbers and values of all lines of a file that is called `name` in errors.

    Raises `LlasaError` with the line's number for one that is not JSON; with `skip` such lines are
    left out, and their numbers and reasons are given to it.
    """
    for number, line in lines(data):
        try:
            value = parse(line, f"{name}, line {number}")
        except LlasaError as error:
            if skip is None:
                raise
            skip(number, str(error))
        else:
            yield number, value


_TOO_DEEP = f"its lists or objects are nested more than {MAX_DEPTH} deep."


def _depth(value: object) -> int:
    """How deep lists and objects are nested, found without recursion."""
    depth, level = 0, [value]
    while level := [outer for outer in level if isinstance(outer, dict | list)]:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth
