"""Moonshine tiny, an English recogniser (arXiv 2410.15608)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llasa.audio.audio import Samples
from llasa.base.errors import LlasaError
from llasa.base.hub import find_folder
from llasa.base.packages import onnx, package_file
from llasa.verifiers.asr.base import Transcript, in_pieces
from llasa.verifiers.base import RATE
from llasa.verifiers.inference import BATCH, LazyModel, side_by_side

if TYPE_CHECKING:
    from torch import Tensor

    from llasa.verifiers.asr.moonshine_decoder import Attended, MoonshineDecoder

LONGEST = 20.0
"""Seconds in one go; longer clips tend to be repeated or skipped."""
SHORTEST = 0.1
TOKENS_PER_SECOND, SPARE_TOKENS = 7.0, 8
"""The model loops where nothing stops it, so a transcript may not be longer."""
START, END = 1, 2
FILES = ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")


class Moonshine(LazyModel):
    """Greedy transcripts of English speech.

    `source`: a folder (or hub id) with `encoder_model.ort`, `decoder_model_merged.ort` and
    `tokenizer.bin` as moonshine-voice packs them; by default the package's tiny model.
    """

    family = "moonshine"
    language = "en"

    def __init__(self, source: str | Path | None = None) -> None:
        super().__init__(source)
        self.name = "moonshine" if source is None else f"moonshine:{source}"

    @cached_property
    def model(self) -> tuple[Any, Any, MoonshineDecoder, list[bytes]]:
        """Encoder, decoder for the first token and for all others, and the bytes of every token."""
        from llasa.verifiers.asr.moonshine_decoder import MoonshineDecoder

        if self.source is None:
            files = [package_file("moonshine_voice", f"assets/tiny-en/{name}") for name in FILES]
            folder = files[0].parent
        else:
            folder = find_folder(self.source, FILES)
        for name in FILES:
            if not (folder / name).is_file():
                raise LlasaError(f"{folder} isn't a Moonshine model: it has no {name}.")
        encoder, decoder, tokens = (folder / name for name in FILES)
        opened = onnx(encoder, 1), onnx(decoder, 1)
        try:
            later = MoonshineDecoder(decoder)
        except (KeyError, StopIteration) as error:
            raise LlasaError(
                f"{decoder} isn't a decoder of Moonshine with 8-bit weights: it has no {error}."
            ) from error
        return *opened, later, read_tokens(tokens)

    def transcribe(self, clips: Sequence[Samples]) -> list[Transcript]:
        """One transcript a clip of 16 kHz speech; the same alone and with others."""
        return in_pieces(clips, LONGEST, self._transcribe)

    def _transcribe(self, clips: Sequence[Samples]) -> list[Transcript]:
        """Of short clips: those of like length together."""
        order = sorted(range(len(clips)), key=lambda index: len(clips[index]))
        parts = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        found: dict[int, Transcript] = {}
        for part in parts:
            some = [clips[index] for index in part]
            found.update(zip(part, self._decode(some), strict=True))
        return [found[index] for index in range(len(clips))]

    def _decode(self, clips: Sequence[Samples]) -> list[Transcript]:
        """Greedy decoding; a clip leaves the batch as it ends."""
        import torch

        _, _, decoder, tokens = self.model
        limits = [int(len(clip) / RATE * TOKENS_PER_SECOND) + SPARE_TOKENS for clip in clips]
        logits, attended = _together(side_by_side(self._begin, clips), max(limits))
        said: list[list[int]] = [[] for _ in clips]
        sums, going = np.zeros(len(clips)), np.arange(len(clips))
        counts = np.zeros(len(clips))
        with torch.inference_mode():
            for place in range(1, max(limits) + 1):
                best, newest = logits.max(1)
                sums[going] += (best - logits.logsumexp(1)).numpy()
                counts[going] += 1
                for clip, token in zip(going, newest.tolist(), strict=True):
                    said[clip].append(token)
                keep = [
                    row
                    for row, clip in enumerate(going)
                    if said[clip][-1] != END and place < limits[clip]
                ]
                if not keep:
                    break
                if len(keep) < len(going):
                    attended, newest, going = attended.keep(keep), newest[keep], going[keep]
                logits = decoder.step(newest, place, attended)
        spoken = [b"".join(tokens[token] for token in one if token != END) for one in said]
        return [
            Transcript(text.decode("utf-8", "replace").replace("▁", " ").strip(), float(mean))
            for text, mean in zip(spoken, sums / counts, strict=True)
        ]

    def _begin(self, clip: Samples) -> tuple[Any, dict[str, Any]]:
        """Logits of the first token (1, vocabulary), and keys and values after it by name."""
        encoder, decoder, _, _ = self.model
        audio = np.pad(clip, (0, max(0, round(SHORTEST * RATE) - len(clip))))[None]
        mask = np.ones(audio.shape, np.int64)
        heard = encoder.run(None, {"input_values": audio, "attention_mask": mask})[0]
        past = {
            entry.name: np.zeros((1, entry.shape[1], 0, entry.shape[3]), np.float32)
            for entry in decoder.get_inputs()
            if entry.name.startswith("past_key_values")
        }
        given = {"encoder_hidden_states": heard, "encoder_attention_mask": mask}
        given |= {"input_ids": np.array([[START]]), "use_cache_branch": np.array([False])}
        logits, *present = decoder.run(None, given | past)
        return logits[:, -1], dict(zip(past, present, strict=True))


def _together(begun: Sequence[tuple[Any, dict[str, Any]]], places: int) -> tuple[Tensor, Attended]:
    """Logits (clips, vocabulary) and what clips attend to, with room for so many tokens."""
    import torch

    from llasa.verifiers.asr.moonshine_decoder import Attended

    def stored(past: dict[str, Any], part: str) -> Tensor:
        found = [
            torch.from_numpy(past[f"past_key_values.{layer}.{part}.{kind}"])
            for layer in range(len(past) // 4)
            for kind in ("key", "value")
        ]
        return torch.stack(found).unflatten(0, (-1, 2))

    heard = [stored(past, "encoder") for _, past in begun]
    said = torch.cat([stored(past, "decoder") for _, past in begun], 2)
    said = torch.nn.functional.pad(said, (0, 0, 0, places - 1))
    logits = np.concatenate([first for first, _ in begun])
    return torch.from_numpy(logits), Attended(heard, said)


def read_tokens(path: Path) -> list[bytes]:
    """Token bytes by id from a `tokenizer.bin`: for each token its length, then its bytes.

    A length of 128 or more takes two bytes, the second one in units of 128.
    """
    data, tokens, place = path.read_bytes(), [], 0
    while place < len(data):
        length, place = data[place], place + 1
        if length >= 128:
            length, place = length - 128 + 128 * data[place], place + 1
        tokens.append(data[place : place + length])
        place += length
    return tokens
