"""From a manifest of recordings to token shards, with any number of workers.

Every worker runs the same call on the same folder. A shard belongs to the worker that created its
claim file; a claim whose owner has died is taken over. A rerun goes on with the missing shards.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from llasa.audio import Audio, read_audio
from llasa.data.manifest import Manifest, Utterance
from llasa.data.shards import ShardMeta, ShardWriter, finished_shards, shard_path
from llasa.errors import LlasaError
from llasa.text import clean_text

CLAIM_TIMEOUT = 900.0
"""Seconds without a sign of life after which another machine's claim counts as dead."""


class SpeechCodec(Protocol):
    """What is needed of a codec."""

    @property
    def codebook_size(self) -> int:
        """Number of codes."""

    @property
    def frame_rate(self) -> float:
        """Codes a second."""

    def encode(
        self, audios: Sequence[NDArray[np.float32]], rates: Sequence[int], /
    ) -> list[NDArray[np.int64]]:
        """Codes of each mono waveform, given the sample rate of each."""


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
    codec: SpeechCodec,
    *,
    codec_name: str,
    root: str | Path | None = None,
    shard_size: int = 500,
    batch_seconds: float = 60.0,
    progress: bool = True,
) -> TokenizeReport:
    """Encode every recording of a manifest into token shards in `out`.

    Recordings that cannot be read, or have no text, are left out and logged with the reason in
    their shard's `skipped.jsonl`. `batch_seconds` bounds the padded audio encoded at once.
    Workers may be told apart by RANK and WORLD_SIZE (torchrun) or SLURM_PROCID and SLURM_NTASKS;
    this only spreads their starting points.

    Raises `LlasaError` where the folder holds a data set made from something else, or where
    nothing at all could be read.
    """
    if shard_size < 1 or batch_seconds <= 0:
        raise LlasaError("shard_size and batch_seconds must be above 0.")
    source, out = Manifest(manifest, root), Path(out)
    meta = ShardMeta(
        codec=codec_name,
        codebook_size=codec.codebook_size,
        frame_rate=float(codec.frame_rate),
        shards=-(-len(source) // shard_size),
        source=f"{source.path.name}, CRC-32 {_crc32(source.path):08x}, {shard_size} a shard",
    )
    meta.save(out)
    missing = sorted(set(range(meta.shards)) - set(finished_shards(out, meta)))
    rank, world = worker_place(os.environ)
    first = rank * len(missing) // world
    report = TokenizeReport(shards_total=meta.shards)
    total = sum(min(shard_size, len(source) - number * shard_size) for number in missing)
    with tqdm(total=total, unit="clip", desc="tokenize", disable=not progress) as bar:
        for number in missing[first:] + missing[:first]:
            claim = Claim.take(out, number)
            if claim is None:
                continue
            with claim:
                if shard_path(out, number).is_dir():
                    continue
                start = number * shard_size
                utterances = list(source.read(start, start + shard_size))
                with ShardWriter(out, number, meta) as writer:
                    for _ in _fill(writer, utterances, codec, batch_seconds):
                        claim.renew()
                        bar.update()
                    if report.utterances + writer.utterances == 0:
                        raise LlasaError(
                            f"None of the first {writer.skipped} recordings of {manifest} can be "
                            f"used; the last one because: {writer.reason}"
                        )
                report.utterances += writer.utterances
                report.skipped += writer.skipped
                report.seconds += writer.codes / meta.frame_rate
    report.shards = len(finished_shards(out, meta))
    return report


def worker_place(environment: Mapping[str, str]) -> tuple[int, int]:
    """Rank and number of workers, from torchrun's or SLURM's variables; (0, 1) without them."""
    for rank, world in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if rank in environment and world in environment:
            place = int(environment[rank]), int(environment[world])
            if not 0 <= place[0] < place[1]:
                raise LlasaError(f"{rank}={place[0]} does not fit {world}={place[1]}.")
            return place
    return 0, 1


class Claim:
    """A shard reserved for one worker, by a file that only one process can create."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def take(cls, folder: Path, number: int) -> Claim | None:
        """The claim, or None where a living worker holds it."""
        path = folder / f".{number:06d}.claim"
        if _is_dead(path):
            # Two workers may both remove it and both go on. That costs time only: the shard that
            # is renamed into place first stays.
            path.unlink(missing_ok=True)
        try:
            with path.open("x") as file:
                json.dump({"host": socket.gethostname(), "pid": os.getpid(), "run": RUN}, file)
        except FileExistsError:
            return None
        except OSError as error:
            raise LlasaError(f"{folder} cannot be written: {error.strerror}.") from error
        return cls(path)

    def renew(self) -> None:
        """Show that the worker is alive."""
        if self.path.exists():
            os.utime(self.path)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)


RUN = uuid.uuid4().hex
"""Tells this process from an earlier one with the same number, as containers have them."""


def _is_dead(path: Path) -> bool:
    """Whether the claim's owner has ended: its process is gone, or it has been silent too long."""
    try:
        silence = time.time() - path.stat().st_mtime
        owner = json.loads(path.read_text())
    except FileNotFoundError:
        return False
    except ValueError:
        owner = {}  # just being written, or cut off by a full disk: its age decides
    if owner.get("host") == socket.gethostname():
        if owner["pid"] == os.getpid():
            return bool(owner["run"] != RUN)
        try:
            os.kill(owner["pid"], 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
    return silence > CLAIM_TIMEOUT


Outcome = tuple[str, NDArray[np.int64]] | LlasaError
"""Text and codes of an utterance, or why it has none."""


def _fill(
    writer: ShardWriter, utterances: list[Utterance], codec: SpeechCodec, batch_seconds: float
) -> Iterator[None]:
    """Encode one shard, yielding after each recording; rows are written in the manifest's order."""
    outcomes: dict[int, Outcome] = {}
    for index, outcome in _encoded(utterances, codec, batch_seconds):
        outcomes[index] = outcome
        yield
    for index, utterance in enumerate(utterances):
        found = outcomes[index]
        if isinstance(found, LlasaError):
            writer.skip(utterance.path, str(found))
        else:
            writer.add(*found, utterance.speaker)


def _encoded(
    utterances: list[Utterance], codec: SpeechCodec, batch_seconds: float
) -> Iterator[tuple[int, Outcome]]:
    """Position and outcome of every utterance, shortest first: little padding in a batch."""
    batch: dict[int, tuple[str, Audio]] = {}
    longest = 0.0
    for index in sorted(range(len(utterances)), key=lambda i: utterances[i].seconds or 0.0):
        try:
            text = _text(utterances[index])
            audio = read_audio(utterances[index].path).mono()
        except LlasaError as error:
            yield index, error
            continue
        longest = max(longest, audio.duration)
        if batch and longest * (len(batch) + 1) > batch_seconds:
            yield from _encode(codec, batch)
            batch, longest = {}, audio.duration
        batch[index] = text, audio
    yield from _encode(codec, batch)


def _encode(
    codec: SpeechCodec, batch: dict[int, tuple[str, Audio]]
) -> Iterator[tuple[int, Outcome]]:
    """Outcomes of a batch; where it is refused, each recording is tried alone."""
    if not batch:
        return
    sounds = [audio for _, audio in batch.values()]
    try:
        codes = codec.encode([a.samples for a in sounds], [a.rate for a in sounds])
    except LlasaError as error:
        for index, item in batch.items():
            if len(batch) == 1:
                yield index, error
            else:
                yield from _encode(codec, {index: item})
        return
    for (index, (text, _)), found in zip(batch.items(), codes, strict=True):
        yield index, (text, found)


def _text(utterance: Utterance) -> str:
    if utterance.text is None:
        raise LlasaError("The manifest gives no text.")
    return clean_text(utterance.text).text


def _crc32(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return crc
