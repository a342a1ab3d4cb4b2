"""Moonshine tiny, an English recogniser, through onnxruntime (arXiv 2410.15608)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from llasa.audio.audio import Samples
from llasa.base.errors import LlasaError
from llasa.base.hub import find_folder
from llasa.base.packages import onnx, package_file
from llasa.verifiers.asr.base import Transcript, in_pieces
from llasa.verifiers.base import RATE
from llasa.verifiers.inference import LazyModel, side_by_side

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
    def model(self) -> tuple[Any, Any, list[bytes]]:
        """Encoder, decoder, and the bytes of every token."""
        if self.source is None:
            files = [package_file("moonshine_voice", f"assets/tiny-en/{name}") for name in FILES]
            folder = files[0].parent
        else:
            folder = find_folder(self.source, FILES)
        for name in FILES:
            if not (folder / name).is_file():
                raise LlasaError(f"{folder} isn't a Moonshine model: it has no {name}.")
        encoder, decoder, tokens = (folder / name for name in FILES)
        return onnx(encoder, 1), onnx(decoder, 1), read_tokens(tokens)

    def transcribe(self, clips: Sequence[Samples]) -> list[Transcript]:
        """One transcript a clip of 16 kHz speech."""
        return in_pieces(clips, LONGEST, lambda short: side_by_side(self._decode, short))

    def _decode(self, clip: Samples) -> Transcript:
        """Greedy decoding of one clip.

        One by one: the 8-bit weights share a scale over the whole batch, so that what is heard in a
        clip would depend on its neighbours.
        """
        encoder, decoder, tokens = self.model
        audio = np.pad(clip, (0, max(0, round(SHORTEST * RATE) - len(clip))))[None]
        mask = np.ones(audio.shape, np.int64)
        heard = encoder.run(None, {"input_values": audio, "attention_mask": mask})[0]
        given = {"encoder_hidden_states": heard, "encoder_attention_mask": mask}
        past = {
            entry.name: np.zeros((1, entry.shape[1], 0, entry.shape[3]), np.float32)
            for entry in decoder.get_inputs()
            if entry.name.startswith("past_key_values")
        }
        newest, out, logprobs = START, b"", []
        for step in range(int(len(clip) / RATE * TOKENS_PER_SECOND) + SPARE_TOKENS):
            given["input_ids"] = np.array([[newest]])
            given["use_cache_branch"] = np.array([step > 0])
            logits, *present = decoder.run(None, {**given, **past})
            for name, value in zip(past, present, strict=True):
                if step == 0 or ".decoder." in name:  # later steps leave the encoder's part empty
                    past[name] = value
            last = logits[0, -1].astype(np.float64)
            newest = int(last.argmax())
            logprobs.append(-np.log(np.exp(last - last[newest]).sum()))
            if newest == END:
                break
            out += tokens[newest]
        text = out.decode("utf-8", "replace").replace("▁", " ").strip()
        return Transcript(text, float(np.mean(logprobs)), complete=newest == END)


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
