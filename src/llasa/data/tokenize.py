"""From a manifest of recordings to token shards, with any number of workers.

Every worker runs the same call on the same folder. A shard belongs to the worker that holds its
lock, which ends with its process. A rerun goes on with the missing shards.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from tqdm import tqdm

from llasa.audio.audio import read_audio
from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import read_bytes
from llasa.base.names import check_whole
from llasa.data.manifest import Manifest
from llasa.data.shards import (
    ShardMeta,
    ShardWriter,
    TokenDataset,
    finished_shards,
    is_whole,
    shard_path,
)
from llasa.text import clean_text

if TYPE_CHECKING:
    from llasa.codec.codec import Codec


@dataclass
class TokenizeReport:
    """What one call did; `shards` counts all finished shards of the folder."""

    utterances: int = 0
    skipped: int = 0
    """Recordings left out; the reasons are in each shard's skipped.jsonl."""
    seconds: float = 0.0
    """Speech encoded."""
    shards: int = 0
    shards_total: int = 0


def tokenize(
    manifest: str | Path,
    out: str | Path,
    codec: Codec,
    *,
    root: str | Path | None = None,
    shard_size: int = 500,
    progress: bool = True,
) -> TokenizeReport:
    """Encode every recording of a manifest into token shards in `out`.

    Recordings that cannot be read, or have no text, and lines that are wrong are left out and
    logged with the reason in their shard's `skipped.jsonl`. A shard that was damaged since is made
    again.

    Raises `LlasaError` where the folder holds a data set made from something else, or where no
    recording of the manifest can be used; then no shard is kept.
    """
    check_whole(shard_size=shard_size)
    source, out = Manifest(manifest, root), Path(out)
    meta = ShardMeta(
        codec=codec.id,
        codebook_size=codec.codebook_size,
        frame_rate=float(codec.frame_rate),
        shards=-(-len(source) // shard_size),
        source=f"{source.path.name}, CRC-32 {_crc32(source.path):08x}, {shard_size} a shard",
    )
    meta.save(out)
    for number in finished_shards(out, meta):
        if not is_whole(shard_path(out, number)):
            shutil.rmtree(shard_path(out, number), ignore_errors=True)
    missing = sorted(set(range(meta.shards)) - set(finished_shards(out, meta)))
    report = TokenizeReport(shards_total=meta.shards)
    total = sum(min(shard_size, len(source) - number * shard_size) for number in missing)
    with tqdm(total=total, unit="clip", desc="tokenize", disable=not progress) as bar:
        for number in missing:
            with _claim(out, number) as mine:
                if not mine or shard_path(out, number).is_dir():
                    continue
                with ShardWriter(out, number, meta) as writer:
                    start = number * shard_size

                    def wrong(line: int, reason: str, writer: ShardWriter = writer) -> None:
                        writer.skip(f"line {line}", reason)
                        bar.update()

                    for utterance in source.read(start, start + shard_size, wrong):
                        try:
                            if utterance.text is None:
                                raise LlasaError("The manifest gives no text.")
                            text = clean_text(utterance.text).text
                            sound = read_audio(utterance.path).mono()
                            (codes,) = codec.encode([sound])
                        except LlasaError as error:
                            writer.skip(utterance.path, str(error))
                        else:
                            times = utterance.timing, utterance.phones
                            writer.add_timed(text, codes, utterance.speaker, *times)
                        bar.update()
                report.utterances += writer.utterances
                report.skipped += writer.skipped
                report.seconds += writer.codes / meta.frame_rate
    report.shards = len(finished_shards(out, meta))
    if not report.utterances and report.shards == meta.shards and not len(TokenDataset(out)):
        skipped = shard_path(out, 0) / "skipped.jsonl"
        _, first = next(jsonl.read(read_bytes(skipped), str(skipped)))
        for number in range(meta.shards):  # so that a rerun, mended, begins anew
            shutil.rmtree(shard_path(out, number), ignore_errors=True)
        raise LlasaError(
            f"None of the {len(source)} recordings of {manifest} can be used; the first one "
            f"because: {first['reason']}"
        )
    return report


@contextmanager
def _claim(folder: Path, number: int) -> Iterator[bool]:
    """Reserve a shard; False where another worker has it."""
    path = folder / f".{number:06d}.lock"
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    except OSError as error:
        raise LlasaError(f"{folder} cannot be written: {error.strerror}.") from error
    try:
        for half_done in folder.glob(f".{number:06d}.*.tmp"):  # by a worker that was killed
            shutil.rmtree(half_done, ignore_errors=True)
        yield True
    finally:
        with suppress(OSError):  # Windows cannot remove it yet, and does so on release
            path.unlink()
        lock.release()


def _crc32(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        for line in file:
            crc = zlib.crc32(line, crc)
    return crc
