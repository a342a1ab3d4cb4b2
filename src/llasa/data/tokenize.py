"""From a manifest of recordings to token shards, with any number of workers.

Every worker runs the same call on the same folder. A shard belongs to the worker that holds its
lock, until that process ends; a worker that takes over continues after what was encoded already.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Audio, read_audio
from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import locked, read_bytes
from llasa.base.names import check_whole
from llasa.base.progress import progress as progress_bar
from llasa.data.manifest import Manifest, Utterance
from llasa.data.ranks import own_place
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import (
    ShardMeta,
    TokenDataset,
    add_columns,
    finished_shards,
    is_whole,
    shard_path,
)
from llasa.text import clean_text

if TYPE_CHECKING:
    from llasa.codec.codec import Codec

SMALLEST_SHARD, MOST_SHARDS = 500, 1024
"""Recordings in a shard, or more where they would not fit into the most shards."""
WINDOW = 128
"""Recordings that are read ahead, sorted by length, encoded and committed together."""
BATCH_SECONDS = 120.0
"""Seconds of audio encoded at once, each clip counted as long as the longest."""


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


class _Skip(NamedTuple):
    """A recording that is left out, and why."""

    audio: str | Path
    reason: str


class _Clip(NamedTuple):
    """A recording that was read, and its text as it is stored."""

    utterance: Utterance
    text: str
    audio: Audio


def tokenize(
    manifest: str | Path,
    out: str | Path,
    codec: Codec,
    *,
    root: str | Path | None = None,
    shard_size: int | None = None,
    readers: int = 2,
    progress: bool = True,
) -> TokenizeReport:
    """Encode every recording of a manifest into token shards in `out`.

    `readers` threads read and resample recordings while the codec encodes those before; it is given
    lists of clips of like length. By default `shard_size` is 500, or larger so that there are at
    most 1,024 shards.

    Recordings that cannot be read, or have no text, and lines that are wrong are left out and
    logged with the reason in their shard's `skipped.jsonl`. A shard that was damaged since is made
    again.

    Raises `LlasaError` where the folder holds a data set made from something else, or where no
    recording of the manifest can be used; then no shard is kept.
    """
    source, out = Manifest(manifest, root), Path(out)
    if shard_size is None:
        shard_size = max(SMALLEST_SHARD, -(-len(source) // MOST_SHARDS))
    check_whole(shard_size=shard_size, readers=readers)
    meta = ShardMeta(
        codec=codec.id,
        codebook_size=codec.codebook_size,
        frame_rate=float(codec.frame_rate),
        shards=-(-len(source) // shard_size),
        source=f"{source.path.name}, CRC-32 {source.crc:08x}, {shard_size} a shard",
    )
    meta.save(out)
    missing = _missing_shards(out, meta)
    report = TokenizeReport(shards_total=meta.shards)
    total = sum(min(shard_size, len(source) - number * shard_size) for number in missing)
    pool = ThreadPoolExecutor(readers)
    with ExitStack() as stack:
        stack.callback(pool.shutdown, cancel_futures=True)
        bar = stack.enter_context(
            progress_bar(total=total, unit="clip", desc="tokenize", disable=not progress)
        )
        for number in missing:
            with _claim(out, number) as mine:
                if not mine or shard_path(out, number).is_dir():
                    continue
                with ShardWriter(out, number, meta, resume=True) as writer:
                    before = writer.utterances, writer.skipped, writer.codes
                    start, stop = number * shard_size, (number + 1) * shard_size
                    start += writer.utterances + writer.skipped
                    bar.update(writer.utterances + writer.skipped)
                    for window in _read_ahead(source, start, stop, codec.input_rate, pool):
                        _write(window, writer, codec)
                        writer.commit()
                        bar.update(len(window))
                report.utterances += writer.utterances - before[0]
                report.skipped += writer.skipped - before[1]
                report.seconds += (writer.codes - before[2]) / meta.frame_rate
    report.shards = len(finished_shards(out, meta))
    if report.shards == meta.shards:
        if not report.utterances and not len(TokenDataset(out)):
            raise _nothing_usable(source, out, meta)
        add_columns(out)
    return report


def _missing_shards(out: Path, meta: ShardMeta) -> list[int]:
    """Missing and damaged shards, in an order that starts elsewhere in each process."""
    for number in finished_shards(out, meta):
        if not is_whole(shard_path(out, number)):
            shutil.rmtree(shard_path(out, number), ignore_errors=True)
    missing = sorted(set(range(meta.shards)) - set(finished_shards(out, meta)))
    rank, world, _ = own_place()
    first = len(missing) * rank // world
    return missing[first:] + missing[:first]


def _read_ahead(
    source: Manifest, start: int, stop: int, rate: int, pool: ThreadPoolExecutor
) -> Iterator[list[_Clip | _Skip]]:
    """Windows of recordings in order; while one is used the next one is read."""

    def submit(window: list[Utterance | _Skip]) -> list[Future[_Clip | _Skip]]:
        return [pool.submit(_read, entry, rate) for entry in window]

    entries = _entries(source, start, stop)
    current = submit(list(islice(entries, WINDOW)))
    while current:
        following = submit(list(islice(entries, WINDOW)))
        yield [future.result() for future in current]
        current = following


def _entries(source: Manifest, start: int, stop: int) -> Iterator[Utterance | _Skip]:
    """The lines of a manifest, wrong ones included."""
    for line, row in source.rows(start, stop):
        yield _Skip(f"line {line}", str(row)) if isinstance(row, LlasaError) else row


def _read(entry: Utterance | _Skip, rate: int) -> _Clip | _Skip:
    if isinstance(entry, _Skip):
        return entry
    try:
        if entry.text is None:
            raise LlasaError("The manifest gives no text.")
        text = clean_text(entry.text)
        return _Clip(entry, text, read_audio(entry.path).mono().resample(rate))
    except LlasaError as error:
        return _Skip(entry.path, str(error))


def _write(window: list[_Clip | _Skip], writer: ShardWriter, codec: Codec) -> None:
    """Encode a window in batches of clips of like length, and write it in its own order."""
    clips = {place: clip for place, clip in enumerate(window) if isinstance(clip, _Clip)}
    found: dict[int, NDArray[np.int64] | LlasaError] = {}
    for batch in _batches({place: clip.audio.duration for place, clip in clips.items()}):
        found.update(zip(batch, _encode([clips[n].audio for n in batch], codec), strict=True))
    for place, entry in enumerate(window):
        if isinstance(entry, _Skip):
            writer.skip(*entry)
        elif isinstance(codes := found[place], LlasaError):
            writer.skip(entry.utterance.path, str(codes))
        else:
            row = entry.utterance
            writer.add_timed(entry.text, codes, row.speaker, row.timing, row.phones)


def _batches(seconds: dict[int, float]) -> Iterable[list[int]]:
    """Clips in order of length, in groups of at most `BATCH_SECONDS`."""
    batch: list[int] = []
    for place in sorted(seconds, key=seconds.__getitem__):
        if batch and seconds[place] * (len(batch) + 1) > BATCH_SECONDS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _encode(audios: list[Audio], codec: Codec) -> list[NDArray[np.int64] | LlasaError]:
    """Codes of each clip, or why it has none."""
    try:
        return list(codec.encode(audios))
    except LlasaError as error:
        if len(audios) == 1:
            return [error]
        return [found for audio in audios for found in _encode([audio], codec)]


def _nothing_usable(source: Manifest, out: Path, meta: ShardMeta) -> LlasaError:
    """Remove all shards, so that a corrected rerun starts afresh; returns the error."""
    skipped = shard_path(out, 0) / "skipped.jsonl"
    _, first = next(jsonl.read(read_bytes(skipped), str(skipped)))
    for number in range(meta.shards):
        shutil.rmtree(shard_path(out, number), ignore_errors=True)
    return LlasaError(
        f"None of the {len(source)} recordings of {source.path} can be used; the first one "
        f"because: {first['reason']}"
    )


@contextmanager
def _claim(folder: Path, number: int) -> Iterator[bool]:
    """Reserve a shard until it is finished; False where another worker has it."""
    finished = shard_path(folder, number).is_dir
    with locked(folder / f".{number:06d}.lock", done=finished) as held:
        rank, world, _ = own_place()
        yield number % world == rank if held is None else held  # every process has its own shards
