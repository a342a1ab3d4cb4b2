"""A folder as a few files of limited size that can travel, and back.

    python pieces.py join FROM_FOLDER NAME OUT_FOLDER

Every piece begins with a line of JSON that says what it belongs to, so that pieces of several saves
can lie side by side: ``join`` takes the newest that is complete.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llasa.base.errors import LlasaError

LIMIT = 15 << 20
"""Bytes of one piece."""


def split(folder: Path, out: Path, name: str, number: int, limit: int = LIMIT) -> list[Path]:
    """Write ``folder`` as ``NAME.000`` and so on, in place of those of an earlier save.

    Args:
        folder: what travels.
        out: where the pieces go.
        name: what they are called.
        number: rises from save to save.
        limit: bytes of one piece at most.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        tar.add(folder, arcname=".")
    data = buffer.getvalue()
    room = limit - 200
    count = -(-len(data) // room)
    out.mkdir(parents=True, exist_ok=True)
    hidden = out / f".{name}"  # all pieces are written before the first takes its place
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir()
    for piece in range(count):
        part = data[piece * room : (piece + 1) * room]
        header = {"name": name, "number": number, "piece": piece, "pieces": count}
        header["crc32"] = zlib.crc32(part)
        (hidden / f"{name}.{piece:03d}").write_bytes(json.dumps(header).encode() + b"\n" + part)
    stale = set(out.glob(f"{name}.[0-9][0-9][0-9]"))
    made = []
    for path in sorted(hidden.iterdir()):
        os.replace(path, out / path.name)
        made.append(out / path.name)
    for path in stale - set(made):
        path.unlink()
    hidden.rmdir()
    return made


def newest(folders: Iterable[Path], name: str) -> tuple[int, list[Path]] | None:
    """Number and pieces of the newest complete save under these folders, or None."""
    saves: dict[tuple[int, int], dict[int, Path]] = defaultdict(dict)
    for folder in folders:
        for path in sorted(folder.rglob(f"{name}.[0-9][0-9][0-9]")):
            header, part = _read(path)
            if zlib.crc32(part) == header["crc32"]:
                saves[header["number"], header["pieces"]][header["piece"]] = path
    whole = [(number, found) for (number, count), found in saves.items() if len(found) == count]
    if not whole:
        return None
    number, found = max(whole, key=lambda save: save[0])
    return number, [found[piece] for piece in range(len(found))]


def join(folders: Iterable[Path], name: str, out: Path) -> int:
    """Unpack the newest complete save into ``out``; returns its number.

    Raises:
        LlasaError: there is none.
    """
    folders = list(folders)
    found = newest(folders, name)
    if found is None:
        places = ", ".join(map(str, folders))
        raise LlasaError(f"No complete set of pieces {name}.000, ... is under {places}.")
    number, paths = found
    data = b"".join(_read(path)[1] for path in paths)
    partial = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        tar.extractall(partial, filter="data")
    shutil.rmtree(out, ignore_errors=True)
    os.replace(partial, out)
    return number


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    header, _, part = path.read_bytes().partition(b"\n")
    return json.loads(header), part


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[1] != "join":
        raise SystemExit(__doc__)
    print("number", join([Path(sys.argv[2])], sys.argv[3], Path(sys.argv[4])))
