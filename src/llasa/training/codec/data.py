"""Random fixed-length audio segments from manifests, as a pure function of (seed, step)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llasa.audio.audio import INT16_SCALE, from_int16, to_int16
from llasa.audio.stretch import TimeStretch
from llasa.base.errors import LlasaError
from llasa.base.names import number, whole
from llasa.codec.heads.harmonic import SUBFRAMES, Pitch
from llasa.data.manifest import Manifest, Utterance
from llasa.training.auxiliary.phones import phones_at
from llasa.training.auxiliary.pitch import UNVOICED
from llasa.training.codec.clips import Clip, Clips, Encode, Rates
from llasa.training.codec.recordings import (
    Recordings,
    Speakers,
    absent,
    check_lines,
    missing_sentence,
    recorded,
)
from llasa.training.config import FORMERLY
from llasa.vocabulary.rows import IGNORE

DRAWS = 100
"""After so many unreadable clips in a row, something other than the clips must be wrong."""
REFERENCE = 3.0
"""Seconds of the same speaker from which a codec takes the speaker embedding."""


@dataclass
class AudioSource:
    """A manifest and its share of the segments."""

    manifest: str
    weight: float = 1.0


@dataclass
class AudioDataSettings:
    """Training audio; ``batch`` segments of ``seconds`` for each worker.

    ``phones`` are symbols to look for in the manifests: with them comes which phone each frame is.
    ``fill`` says what happens when a clip is shorter than ``seconds``: ``pad`` with zeros at the
    end (released trainer) or ``join`` further clips. ``valid`` is a manifest of held-out clips.
    ``perturb`` moves pitch and formants of the encoder's input by up to this share, so that the
    decoder takes the voice from the speaker embedding (a codec with ``speaker_size``).
    """

    train: list[AudioSource] = field(default_factory=list)
    valid: str | None = None
    phones: list[str] = field(default_factory=list)
    valid_clips: int = 16
    seconds: float = 6.0
    batch: int = 8
    fill: Literal["pad", "join"] = "pad"
    cache_hours: float = 4.0
    perturb: float = field(default=0.0, metadata={FORMERLY: "disguise"})

    def __post_init__(self) -> None:
        number("Setting data.perturb", self.perturb, 0, 1)
        for name in ("batch", "valid_clips"):
            whole(f"Setting data.{name}", getattr(self, name))


class Reference(NamedTuple):
    """Other recordings of the same speakers as the segments."""

    samples: Tensor
    """(batch, samples of `REFERENCE`)."""
    log_f0: Tensor
    """(batch,), log of the median pitch in Hz; meaningless if pitch is off."""


class Segment(NamedTuple):
    """A batch of segments."""

    samples: Tensor
    """(batch, samples) at the rate of the encoder."""
    phones: Tensor
    """(batch, frames), number of the phone in ``phones`` of the settings, or IGNORE."""
    pitch: Pitch | None = None
    """(batch, subframes), if asked for."""
    perturbed: Tensor | None = None
    """(batch, samples), perturbed input for the encoder in place of `samples`."""
    reference: Reference | None = None
    """Of the same speakers, if asked for."""
    output: Tensor | None = None
    """(batch, samples) at the rate of the decoder, if that is another one."""
    codes: Tensor | None = None
    """(batch, frames), cut from those of whole clips, if asked for."""

    @property
    def target(self) -> Tensor:
        """Target of the decoder: (batch, samples) at its output rate."""
        return self.samples if self.output is None else self.output

    def to(self, device: torch.device) -> Segment:
        """The same on another device."""

        def moved(part: Any) -> Any:
            if isinstance(part, Pitch | Reference):
                return type(part)(*map(moved, part))
            return None if part is None else part.to(device)

        return Segment(*map(moved, self))


class _Piece(NamedTuple):
    """A stretch of a clip: its place in the segment, and its start in the clip (samples)."""

    first: int
    stop: int
    start: int

    def to_output(self, rates: Rates) -> _Piece:
        """The same stretch in samples of the output."""
        return _Piece(*map(rates.to_output, self))

    def copy(self, clip: NDArray[np.int16], segment: NDArray[np.int16]) -> None:
        """Put the samples of the clip into the segment."""
        segment[self.first : self.stop] = clip[self.start :][: self.stop - self.first]

    def among(self, places: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Which positions of the segment this stretch covers, and their positions in the clip."""
        inside = (places >= self.first) & (places < self.stop)
        return inside, places[inside] - self.first + self.start


class Segments:
    """Batches of segments; clips are read once and kept in memory as 16-bit samples.

    Manifests may be of any length (see `Recordings`). A clip that cannot be read is noted in
    `lost`, with the reason, and another one is drawn: what a batch holds depends on the seed, its
    arguments and which clips are lost.

    Args:
        settings: where the clips are, and how long and how many segments.
        rate: Hertz of the encoder's input.
        hop: samples per code at this rate.
        seed: of the choice of segments.
        pitch: whether pitch comes with the segments.
        references: each segment is of one speaker, and a reference of the same comes with it.
        output_rate: Hertz of the decoder's output, if not `rate`.
        encode: makes the codes of a whole clip, once; segments then begin where codes do.
    """

    def __init__(
        self,
        settings: AudioDataSettings,
        rate: int,
        hop: int,
        seed: int,
        pitch: bool = False,
        references: bool = False,
        output_rate: int | None = None,
        encode: Encode | None = None,
    ) -> None:
        if not settings.train:
            raise LlasaError("Setting data.train is empty: give at least one {manifest: path}.")
        weights = np.array([source.weight for source in settings.train])
        if weights.min() < 0 or weights.sum() == 0:
            raise LlasaError("The weights in data.train must be 0 or more, and one above 0.")
        self.settings, self.rate, self.hop, self.seed = settings, rate, hop, seed
        self.length = int(settings.seconds * rate) // hop * hop
        self._manifests = [Manifest(source.manifest) for source in settings.train]
        self.lost: dict[str, str] = {}
        self._references = references
        self._speakers = [Speakers(manifest) for manifest in self._manifests] if references else []
        if not references:  # speakers are read from every line
            for manifest in self._manifests:
                check_lines(manifest)
        self._phones = {symbol: number for number, symbol in enumerate(settings.phones)}
        self.weights = weights / weights.sum()
        self.rates = Rates(rate, output_rate or rate, hop)
        self._pitch, self._encoded = pitch, encode is not None
        shortest = self.length if settings.fill == "pad" else 0
        self._clips = Clips(self.rates, settings.cache_hours, pitch, encode, shortest)

    def check(self, begun: bool) -> None:
        """Check once, before the first step, that clips exist, up to 100,000 of them. Raises
        `LlasaError` for a missing one; in a run that has `begun`, notes it as lost instead.
        """
        missing = absent(recorded(self._manifests))
        if missing and not begun:
            raise LlasaError(missing_sentence(missing, "data.train"))
        self.lost |= missing

    def batch(self, step: int, rank: int, world: int) -> Segment:
        """The segments of one worker; a pure function of seed and arguments."""
        rows = [
            self._row(np.random.default_rng((self.seed, step, rank + world * row)))
            for row in range(self.settings.batch)
        ]
        parts = (torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True))
        samples, phones, hertz, voiced, perturbed, reference, log_f0, output, codes = parts
        return Segment(
            samples / INT16_SCALE,
            phones,
            Pitch(hertz, voiced) if self._pitch else None,
            perturbed / INT16_SCALE if self.settings.perturb else None,
            Reference(reference / INT16_SCALE, log_f0) if self._references else None,
            output / INT16_SCALE if self.rates.output != self.rates.input else None,
            codes.long() if self._encoded else None,
        )

    def _row(self, rng: np.random.Generator) -> tuple[Any, ...]:
        """The arrays of one segment."""
        source = int(rng.choice(len(self.weights), p=self.weights))
        clips = Recordings(self._manifests[source])
        samples = np.zeros(self.length, np.int16)
        output = np.zeros(self.rates.to_output(self.length), np.int16)
        frames = self.length // self.hop
        codes = np.zeros(frames if self._encoded else 0, np.int32)
        phones = np.full(frames, IGNORE)
        hertz = np.full(SUBFRAMES * frames, UNVOICED, np.float32)
        voiced = np.zeros_like(hertz)
        middles, short = (
            (np.arange(count) + 0.5) * self.length / count for count in (len(phones), len(hertz))
        )
        filled = 0
        while filled < self.length:
            row, clip, kept = self._drawn(clips, rng)
            if self._references:
                clips = self._speakers[source].same(row)
            step = self._clips.step
            room, length = self.length - filled, len(kept.samples)
            start = step * int(rng.integers((length - room) // step + 1)) if length > room else 0
            piece = _Piece(filled, filled + min(room, length), start)
            piece.copy(kept.samples, samples)
            piece.to_output(self.rates).copy(kept.output, output)
            if kept.codes is not None:
                found = kept.codes[start // self.hop :][: room // self.hop]
                codes[filled // self.hop :][: len(found)] = found
            inside, places = piece.among(middles)
            phones[inside] = phones_at(places / self.rate, clip.phones, self._phones)
            if kept.track is not None:
                inside, places = piece.among(short)
                hertz[inside], voiced[inside] = kept.track.at(places / self.rate)
            filled = piece.stop
            if self.settings.fill == "pad":
                break
        reference, height = self._reference(clips, rng) if self._references else (samples[:0], 0.0)
        perturbed = self._perturbed(samples, rng) if self.settings.perturb else samples[:0]
        log_f0 = np.float32(height)
        return samples, phones, hertz, voiced, perturbed, reference, log_f0, output, codes

    def _reference(
        self, clips: Recordings, rng: np.random.Generator
    ) -> tuple[NDArray[np.int16], float]:
        """A random stretch of one speaker's clips, of several in a row where they are short, and
        the log of the median pitch of these clips if it is tracked.
        """
        length = round(REFERENCE * self.rate)
        pieces: list[NDArray[np.int16]] = []
        voiced: list[NDArray[np.float32]] = []
        while length:
            clip = self._drawn(clips, rng)[2]
            start = int(rng.integers(0, max(1, len(clip.samples) - length + 1)))
            pieces.append(clip.samples[start : start + length])
            length -= len(pieces[-1])
            if clip.track is not None:
                voiced.append(clip.track.hertz[clip.track.voiced >= 0.5])
        hertz = np.concatenate([*voiced, np.zeros(0)])
        return np.concatenate(pieces), float(np.log(np.median(hertz) if len(hertz) else UNVOICED))

    def _perturbed(self, sound: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.int16]:
        """Half of the time, the sound with pitch and formants moved by a random factor."""
        import soxr

        factor = float(np.exp(rng.uniform(-1, 1) * np.log1p(self.settings.perturb)))
        if rng.random() < 0.5:
            return sound
        stretch = TimeStretch(1 / factor, self.rate)
        moved = soxr.resample(from_int16(sound), self.rate * factor, self.rate)
        moved = np.concatenate([stretch.push(moved), stretch.finish()])[: len(sound)]
        return to_int16(np.pad(moved, (0, len(sound) - len(moved))))

    def _drawn(self, clips: Recordings, rng: np.random.Generator) -> tuple[int, Utterance, Clip]:
        """A random clip that can be read: which of its manifest, its line, what is kept of it."""
        for _ in range(DRAWS):
            row = clips.row(int(rng.integers(len(clips))))
            name = clips.named(row)
            try:
                clip = clips.manifest[row]
                name = str(clip.path)
                if name not in self.lost:
                    return row, clip, self._clips[clip.path]
            except LlasaError as error:
                self.lost[name] = str(error)
        first = next(iter(self.lost.values()))
        raise LlasaError(
            f"{DRAWS} clips in a row cannot be read ({len(self.lost)} in all). The first one: "
            f"{first.rstrip('.')}."
        )
