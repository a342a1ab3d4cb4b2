"""Token data sets from one form into another, without audio or codec."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llasa.base.errors import LlasaError
from llasa.base.files import make_folder, only_writer
from llasa.base.names import check_whole
from llasa.base.progress import progress as progress_bar
from llasa.data.manifest import Manifest, Utterance
from llasa.data.official import OFFICIAL_SUFFIX, OfficialRows, write_official
from llasa.data.reader import AGAIN
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import (
    UNKNOWN_CODEC,
    ShardMeta,
    TokenDataset,
    add_columns,
    is_whole,
    shard_path,
    shard_paths,
)
from llasa.text import clean_text
from llasa.vocabulary.vocabulary import Vocabulary

SHARD_SIZE = 100_000
"""Default number of utterances in a shard."""


def repack(source: Path, out: Path, shard_size: int = SHARD_SIZE, progress: bool = True) -> int:
    """Write the shards of a folder as few large ones with their columns; returns the utterances.

    Complete shards are joined until they hold `shard_size` utterances. Shards that an earlier call
    finished stay. Raises `LlasaError` where a shard is damaged, or `out` holds another data set.
    """
    check_whole(shard_size=shard_size)
    paths = shard_paths(source)
    groups: list[list[Path]] = [[]]
    held = 0
    for path in paths:
        if held >= shard_size:
            groups.append([])
            held = 0
        groups[-1].append(path)
        held += len(np.load(path / "index.npy", mmap_mode="r")) - 1
    origin = f"{source.resolve().name}, {len(paths)} shards, {shard_size} or more a shard"
    meta = replace(ShardMeta.load(source), shards=len(groups), source=origin)

    def fill(writer: ShardWriter, number: int) -> None:
        for path in groups[number]:
            if not is_whole(path):
                raise LlasaError(f"The shard {path} is damaged: {AGAIN}.")
            writer.append(path)

    return _write_shards(out, meta, fill, progress)


def from_official(
    source: Path,
    out: Path,
    vocabulary: Vocabulary,
    shard_size: int = SHARD_SIZE,
    progress: bool = True,
) -> int:
    """Released rows as shards with texts; `vocabulary` is that of a released model."""
    check_whole(shard_size=shard_size)
    _check_released(vocabulary)
    data = TokenDataset(source)
    origin = f"{source.name}, {len(data)} rows, {shard_size} a shard"
    size, rate, shards = data.codebook_size, data.frame_rate, -(-len(data) // shard_size)
    meta = ShardMeta(UNKNOWN_CODEC, size, rate, shards, origin)

    def fill(writer: ShardWriter, number: int) -> None:
        for index in range(number * shard_size, min((number + 1) * shard_size, len(data))):
            text, codes, *_ = data[index]
            writer.add(vocabulary.decode_text(map(int, text)), codes)

    return _write_shards(out, meta, fill, progress)


def to_official(
    source: Path, out: Path, vocabulary: Vocabulary, progress: bool = True
) -> tuple[int, int]:
    """Shards as the two files of a released split; returns the rows, and those that were cut."""
    _check_released(vocabulary)
    data = TokenDataset(source)
    if data.codebook_size != OfficialRows.CODEBOOK_SIZE:
        raise LlasaError(
            f"{source} has {data.codebook_size:,} codes, and released rows are of a codec with "
            f"{OfficialRows.CODEBOOK_SIZE:,}."
        )
    cut = 0

    def rows() -> Iterator[NDArray[np.int32]]:
        nonlocal cut
        for index in progress_bar(
            range(len(data)), unit="row", desc="convert", disable=not progress
        ):
            text, codes, *_ = data[index]
            row = OfficialRows.render(
                vocabulary.encode_text(text) if isinstance(text, str) else text, codes
            )
            cut += int(row[-1] >= OfficialRows.BASE_SIZE)
            yield row

    return write_official(out, rows()), cut


def from_vq_codes(
    tree: Path,
    manifest: Path,
    out: Path,
    codec: str = UNKNOWN_CODEC,
    root: Path | None = None,
    shard_size: int = SHARD_SIZE,
    progress: bool = True,
) -> int:
    """The `.npy` files that X-codec2's own tools write, with the texts of a manifest, as shards.

    `tree` holds for each `a/b.wav` of the manifest the codes in `a/b.npy`; `codec` is the id of
    their codec. Recordings without codes or text are left out, with the reason in `skipped.jsonl`.
    """
    check_whole(shard_size=shard_size)
    if not tree.is_dir():
        raise LlasaError(f"{tree} is not a folder of .npy files: give the vq_codes folder.")
    source = Manifest(manifest, root)
    shards = -(-len(source) // shard_size)
    origin = f"{tree.resolve().name}, CRC-32 {source.crc:08x}, {shard_size} a shard"
    size, rate = OfficialRows.CODEBOOK_SIZE, OfficialRows.FRAME_RATE
    meta = ShardMeta(codec, size, rate, shards, origin)

    def fill(writer: ShardWriter, number: int) -> None:
        start = number * shard_size
        for line, row in source.rows(start, start + shard_size):
            if isinstance(row, LlasaError):
                writer.skip(f"line {line}", str(row))
                continue
            try:
                text, codes = _vq_row(row, tree, source.root)
                writer.add_timed(text, codes, row.speaker, row.timing, row.phones)
            except LlasaError as error:
                writer.skip(row.path, str(error))

    count = _write_shards(out, meta, fill, progress)
    if not count:
        raise LlasaError(
            f"{tree} holds codes of none of the {len(source)} recordings of {manifest}: the .npy "
            "files must lie as the recordings do; see skipped.jsonl for the first."
        )
    return count


def _vq_row(row: Utterance, tree: Path, root: Path) -> tuple[str, NDArray[np.int64]]:
    if row.text is None:
        raise LlasaError("The manifest gives no text.")
    try:
        path = tree / row.path.relative_to(root).with_suffix(".npy")
    except ValueError as error:
        raise LlasaError(f"{row.path} does not lie in {root}: give --root.") from error
    try:
        codes = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise LlasaError(f"{path} does not exist.") from error
    except (OSError, ValueError, EOFError) as error:
        raise LlasaError(f"{path} is damaged: it holds no codes.") from error
    return clean_text(row.text), codes.reshape(-1)  # (1, 1, n) as they were written


def _check_released(vocabulary: Vocabulary) -> None:
    if (vocabulary.base_size, vocabulary.codebook_size) != (
        OfficialRows.BASE_SIZE,
        OfficialRows.CODEBOOK_SIZE,
    ):
        raise LlasaError(
            f"{OFFICIAL_SUFFIX[1:]} files hold ids of the released models: name one with --model, "
            "as HKUSTAudio/Llasa-1B."
        )


def _write_shards(
    out: Path, meta: ShardMeta, fill: Callable[[ShardWriter, int], None], progress: bool
) -> int:
    """Let `fill` write each missing shard, then add the columns."""
    with only_writer(make_folder(out)):
        meta.save(out)
        for number in progress_bar(
            range(meta.shards), unit="shard", desc="convert", disable=not progress
        ):
            if not shard_path(out, number).is_dir():
                with ShardWriter(out, number, meta) as writer:
                    fill(writer, number)
        add_columns(out)
    return len(TokenDataset(out))
