"""Codecs to be compared: ours, Opus, and those of Transformers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Audio, read_audio
from llasa.base.errors import LlasaError, first_line
from llasa.base.hub import find_folder
from llasa.base.packages import require
from llasa.codec.codec import Codec
from llasa.models.find import find_codec

OPUS, TRANSFORMERS = "opus", "transformers"
OPUS_KBPS = (6.0, 256.0)
"""What libsndfile's encoder can be asked for, in kbit/s; its bit rate varies around that."""
EMBEDDING_BITS = 16
"""Bits of one number of a speaker embedding, in half precision."""
_OPUS_HEADERS, _OGG_HEADER = 2, 27
QUANTIZERS = {"mimi": "num_quantizers", "dac": "n_quantizers"}
"""How `encode` of each family of Transformers takes the number of codebooks (EnCodec: kbit/s)."""


@dataclass(frozen=True, eq=False)
class Coded:
    """A clip after a codec: mono at the codec's rate, and what it would take to send it.

    `codes` is int64 (n,) or (codebooks, n) where there are any, each below `codebook_size`.
    """

    audio: Audio
    bits: float
    codes: NDArray[np.int64] | None = None
    codebook_size: int = 0


class System(Protocol):
    """A codec under test."""

    @property
    def name(self) -> str: ...

    def __call__(self, audio: Audio) -> Coded:
        """Encode and decode a mono clip of any rate."""


class OwnCodec:
    """A codec of this package; `source` is a model, a codec folder or a hub id.

    Bits are those of plain code numbers: log2 of the codebook's size each; where the codec has
    timbres also those of one, in half precision.
    """

    def __init__(self, source: str, device: str | None = None) -> None:
        self.name = source
        self.codec = Codec.load(find_codec(source), device)

    def __call__(self, audio: Audio) -> Coded:
        codec = self.codec
        (codes,) = codec.encode([audio])
        (samples,) = codec.decode([codes], codec.speaker_embedding(audio))
        bits = len(codes) * math.log2(codec.codebook_size) + EMBEDDING_BITS * codec.speaker_size
        sound = Audio(samples.clip(-1, 1), codec.sample_rate)
        return Coded(sound, bits, codes, codec.codebook_size)


class OpusCodec:
    """Opus through libsndfile, at 16 kHz.

    Bits are those of the audio packets, without the headers and the framing of Ogg, which at these
    rates would be a third of the file.
    """

    def __init__(self, kbps: str) -> None:
        low, high = OPUS_KBPS
        try:
            self.kbps = float(kbps)
        except ValueError:
            self.kbps = math.nan
        if not low <= self.kbps <= high:
            raise LlasaError(
                f"Opus cannot be asked for {kbps} kbit/s: give {low:g} to {high:g}, as in opus:12."
            )
        self.name = f"{OPUS}:{self.kbps:g}"

    def __call__(self, audio: Audio) -> Coded:
        low, high = OPUS_KBPS
        data = audio.resample(16_000).encode("opus", (high - self.kbps) / (high - low))
        return Coded(read_audio(data), opus_bits(data))


class TransformersCodec:
    """EnCodec, DAC, Mimi and their like: `FOLDER_OR_ID` or `FOLDER_OR_ID@CODEBOOKS`."""

    def __init__(self, source: str, device: str | None = None) -> None:
        place, _, books = source.partition("@")
        if books and not (books.isdigit() and int(books)):
            raise LlasaError(f"{books!r} isn't a number of codebooks: write {place}@8.")
        self.name = f"{TRANSFORMERS}:{source}"
        folder, library = find_folder(place), require("transformers")
        try:
            model = library.AutoModel.from_pretrained(folder, trust_remote_code=False)
        except (OSError, ValueError) as error:
            reason = first_line(error)
            raise LlasaError(f"{place} isn't a codec that can be opened: {reason}.") from error
        if getattr(model.config, "audio_channels", 1) != 1:
            raise LlasaError(f"{place} is a codec for stereo: take one for a single channel.")
        self._model = model.to(device or "cpu").eval()
        self._options = self._option(int(books)) if books else {}

    def __call__(self, audio: Audio) -> Coded:
        import torch

        model, config = self._model, self._model.config
        samples = audio.resample(config.sampling_rate).samples
        clip = torch.from_numpy(samples)[None, None].to(model.device)
        with torch.inference_mode():
            coded = model.encode(clip, **self._options)
            if config.model_type == "encodec":
                decoded = model.decode(coded.audio_codes, coded.audio_scales)
            else:
                decoded = model.decode(audio_codes=coded.audio_codes)
        codes = coded.audio_codes.reshape(-1, coded.audio_codes.shape[-1]).cpu().numpy()
        samples = decoded.audio_values.flatten().float().cpu().numpy().clip(-1, 1)
        sound = Audio(samples, config.sampling_rate)
        bits = codes.size * math.log2(config.codebook_size)
        return Coded(sound, bits, codes.astype(np.int64), config.codebook_size)

    def _option(self, books: int) -> dict[str, float]:
        config = self._model.config
        if config.model_type == "encodec":
            book = config.frame_rate * math.log2(config.codebook_size) / 1000
            rates = {round(rate / book): rate for rate in config.target_bandwidths}
            if books not in rates:
                valid = " or ".join(map(str, rates))
                raise LlasaError(f"{self.name} cannot take {books} codebooks: it takes {valid}.")
            return {"bandwidth": rates[books]}
        if config.model_type not in QUANTIZERS:
            raise LlasaError(f"{self.name}: {config.model_type} has no choice of codebooks.")
        return {QUANTIZERS[config.model_type]: books}


def find_system(spec: str, device: str | None = None) -> System:
    """The codec that a name stands for: `opus:KBPS`, `transformers:NAME[@CODEBOOKS]`, or ours."""
    kind, _, argument = spec.partition(":")
    if kind == OPUS and not Path(spec).exists():
        return OpusCodec(argument)
    if kind == TRANSFORMERS:
        return TransformersCodec(argument, device)
    return OwnCodec(spec, device)


def opus_bits(data: bytes) -> float:
    """Bits of the audio packets in an Ogg Opus file."""
    pages, place = [], 0
    while place < len(data):
        segments = data[place + 26]
        table = data[place + _OGG_HEADER : place + _OGG_HEADER + segments]
        pages.append(sum(table))
        place += _OGG_HEADER + segments + pages[-1]
    return 8.0 * sum(pages[_OPUS_HEADERS:])
