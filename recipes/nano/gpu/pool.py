"""Pools: many clips end to end in one file of samples, beside a file that says which is what.

    NAME.pcm     16 kHz mono samples, little-endian int16
    NAME.jsonl   one {"text": ..., "speaker": ..., "start": ..., "samples": ..., ...} a line
    NAME.f0      pitch, if it was asked for: float16 (Hertz, voiced) for each whole 10 ms of a clip

A pool can be written to by one process while others read it, and a writer that was killed goes on
after the last whole clip. For a journey the samples become Opus (``pack`` and ``unpack``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from llasa.audio.audio import from_int16, read_audio, to_int16
from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import write_atomic
from llasa.data.manifest import Utterance
from llasa.training.auxiliary.pitch import PitchTracker

RATE = 16_000
PERIOD = RATE // 100
"""Samples for which there is one pitch: a subframe of the codec's harmonic head."""
GAP = RATE // 25
"""Silence after each clip of a packed file, so that Opus does not smear one into the next."""
_OPUS_LOWEST, _OPUS_RANGE = 6_000, 250_000
"""Bits a second at compression levels 1 and 0 of libsndfile, and what lies between."""

Samples = NDArray[np.float32]
Pitches = NDArray[np.float16]


class Clip(NamedTuple):
    """Place of one utterance in its pool, in samples; ``text`` is None where nobody knows it.

    ``timing`` and ``phones`` as in a manifest.
    """

    text: str | None
    speaker: str | None
    start: int
    samples: int
    timing: Sequence[tuple[int, float]] = ()
    phones: Sequence[tuple[str, float]] = ()


class Pool:
    """The files of one pool; ``folder / name`` without suffix."""

    def __init__(self, stem: Path) -> None:
        self.pcm, self.rows = stem.with_suffix(".pcm"), stem.with_suffix(".jsonl")
        self.f0 = stem.with_suffix(".f0")
        self.name = stem.name

    @property
    def group(self) -> str:
        """The name up to its last hyphen: pools of one origin."""
        return self.name.rpartition("-")[0]

    def clips(self) -> list[Clip]:
        """Whole clips so far."""
        if not self.rows.exists():
            return []
        whole, _, _ = self.rows.read_bytes().rpartition(b"\n")  # the last line may be half written
        return [Clip(**row) for _, row in jsonl.read(whole, str(self.rows))]

    def samples(self, clips: Sequence[Clip] | None = None) -> NDArray[np.int16]:
        """All samples of the whole clips, mapped; given `clips`, the first ones, only of these."""
        clips = self.clips() if clips is None else clips
        end = clips[-1].start + clips[-1].samples if clips else 0
        if end == 0:
            return np.zeros(0, np.int16)
        return np.memmap(self.pcm, "<i2", "r", shape=(end,))

    def pitches(self, clips: Sequence[Clip] | None = None) -> Pitches | None:
        """Pitch of the whole clips, one after the other (n, 2); None where it is not known.

        Given `clips`, the first ones, only that of these.
        """
        count = sum(clip.samples // PERIOD for clip in (self.clips() if clips is None else clips))
        found = np.fromfile(self.f0, "<f2", 2 * count) if self.f0.exists() else np.zeros(0, "<f2")
        return found.reshape(-1, 2) if len(found) == 2 * count else None


class PoolWriter:
    """Appends clips to a pool; opening it cuts off what a kill left half written.

    With `tracker` the pitch of each clip is noted, too.
    """

    def __init__(self, stem: Path, tracker: PitchTracker | None = None) -> None:
        stem.parent.mkdir(parents=True, exist_ok=True)
        pool = Pool(stem)
        clips = pool.clips()
        self.count = len(clips)
        self.total = clips[-1].start + clips[-1].samples if clips else 0
        self._tracker = tracker
        self._pcm, self._rows = pool.pcm.open("ab"), pool.rows.open("ab")
        self._pcm.truncate(2 * self.total)
        self._rows.truncate(len(b"".join(_line(clip) for clip in clips)))
        if tracker is not None:
            if pool.pitches(clips) is None:
                note_pitch(pool, tracker)
            self._f0 = pool.f0.open("ab")
            self._f0.truncate(4 * sum(clip.samples // PERIOD for clip in clips))

    def add(
        self,
        samples: Samples,
        text: str | None,
        speaker: str | None,
        timing: Sequence[tuple[int, float]] = (),
        phones: Sequence[tuple[str, float]] = (),
    ) -> None:
        """Append one clip of floats in [-1, 1]."""
        self._pcm.write(to_int16(samples).tobytes())
        if self._tracker is not None:
            self._f0.write(pitch_of(samples, self._tracker).tobytes())
            self._f0.flush()
        self._pcm.flush()  # before its row, which promises that the samples are there
        self._rows.write(_line(Clip(text, speaker, self.total, len(samples), timing, phones)))
        self._rows.flush()
        self.total += len(samples)
        self.count += 1

    def close(self) -> None:
        self._pcm.close()
        self._rows.close()
        if self._tracker is not None:
            self._f0.close()


def pitch_of(samples: Samples, tracker: PitchTracker) -> Pitches:
    """Hertz, and 1 where voiced, in the middle of each whole `PERIOD` of a clip, (n, 2)."""
    moments = (np.arange(len(samples) // PERIOD) + 0.5) * PERIOD / RATE
    return np.stack(tracker(samples).at(moments), axis=1).astype("<f2")


def note_pitch(pool: Pool, tracker: PitchTracker) -> None:
    """The pitch of all clips of a pool that was written without."""
    clips = pool.clips()
    samples, found = pool.samples(clips), []
    for clip in clips:
        sound = samples[clip.start :][: clip.samples]
        found.append(pitch_of(from_int16(sound), tracker))
    write_atomic(pool.f0, np.concatenate([np.zeros((0, 2), "<f2"), *found]).tobytes())


def pools(folder: Path) -> list[Pool]:
    """All pools of a folder by name."""
    return [Pool(path.with_suffix("")) for path in sorted(folder.glob("*.jsonl"))]


def pack(clips: Iterable[Utterance], folder: Path, name: str, kbps: float, minutes: float) -> int:
    """Write clips as ``NAME-000.opus`` and so on, ``minutes`` each; returns the bytes written."""
    folder.mkdir(parents=True, exist_ok=True)
    level = 1 - max(0.0, min(1.0, (1000 * kbps - _OPUS_LOWEST) / _OPUS_RANGE))
    parts: list[Samples] = []
    rows: list[Clip] = []
    size = at = number = 0

    def flush() -> None:
        nonlocal parts, rows, at, number, size
        if not rows:
            return
        stem = folder / f"{name}-{number:03d}"
        samples = np.concatenate(parts)
        with soundfile.SoundFile(
            stem.with_suffix(".opus"), "w", RATE, 1, "OPUS", format="OGG", compression_level=level
        ) as file:
            for start in range(0, len(samples), RATE):
                file.write(samples[start : start + RATE])
        stem.with_suffix(".jsonl").write_bytes(b"".join(_line(row) for row in rows))
        size += sum(stem.with_suffix(end).stat().st_size for end in (".opus", ".jsonl"))
        parts, rows, at, number = [], [], 0, number + 1

    for clip in clips:
        samples = read_audio(clip.path).mono().resample(RATE).samples
        parts += [samples, np.zeros(GAP, np.float32)]
        rows.append(Clip(clip.text, clip.speaker, at, len(samples), clip.timing, clip.phones))
        at += len(samples) + GAP
        if at >= minutes * 60 * RATE:
            flush()
    flush()
    return size


def unpack(opus: Path, folder: Path, pitch: bool = False) -> Path:
    """A packed file as a pool in ``folder``, if it is not there yet; returns its stem.

    With `pitch` that of all its clips is noted, too.
    """
    stem = folder / opus.stem
    target = Pool(stem)
    if not target.rows.exists():
        _unpack(opus, folder, target)
    if pitch and target.pitches() is None:
        note_pitch(target, PitchTracker())
    return stem


def _unpack(opus: Path, folder: Path, target: Pool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    samples, rate = soundfile.read(opus, dtype="int16")
    rows = opus.with_suffix(".jsonl").read_bytes()
    clips = [Clip(**row) for _, row in jsonl.read(rows, str(opus.with_suffix(".jsonl")))]
    if rate != RATE or not clips or clips[-1].start + clips[-1].samples > len(samples):
        raise LlasaError(f"{opus} does not hold the clips that its .jsonl names: pack it again.")
    target.pcm.write_bytes(samples.astype("<i2").tobytes())
    write_atomic(target.rows, rows)


def _line(clip: Clip) -> bytes:
    return jsonl.render(clip._asdict())
