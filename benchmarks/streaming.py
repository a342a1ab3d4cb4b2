"""Streaming: error against offline decoding, first audio, and speed against offline synthesis.

    python benchmarks/streaming.py [MODEL] [--data FOLDER] [--clips 3] [--repeats 3] [--json out.json]

The error is that of the 40 ms around each border of two stretches, against the whole clip decoded
at once, in dB below the level of the clip. Clips come from `kathleen.test.jsonl` and
`librispeech.jsonl` in the folder (default: environment variable LLASA_DATA). Streamed and offline
synthesis alternate, so that other work on the machine hits both; the ratio is the median over the
pairs. Set OMP_NUM_THREADS to choose the threads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import llasa
from llasa.audio import read_audio
from llasa.codec import Codec
from llasa.codec.streaming import StreamingDecoder, StreamSettings

TEXT = (
    "The birch canoe slid on the smooth planks, and the fox watched it from the bank. "
    "Glue the sheet to the dark blue background. It is easy to tell the depth of a well."
)
LISTS = ("kathleen.test.jsonl", "librispeech.jsonl")
STRETCH = 25
"""Frames between the borders where the error is measured."""


def clips_of(folder: Path, codec: Codec, each: int, frames: int) -> list[NDArray[np.int64]]:
    """Codes of the first recordings of both lists."""
    rows = [
        json.loads(row) for name in LISTS for row in (folder / name).read_text().splitlines()[:each]
    ]
    return [codes[:frames] for codes in codec.encode([read_audio(folder / r["audio"]) for r in rows])]


def border_errors(
    codec: Codec, codes: NDArray[np.int64], whole: NDArray[np.float32], settings: StreamSettings
) -> list[float]:
    """The error at each border of the stretches of a clip, in dB."""
    decoder = StreamingDecoder(codec, replace(settings, first=STRETCH, largest=STRETCH))
    pieces = [decoder.push(codes[i : i + STRETCH]) for i in range(0, len(codes), STRETCH)]
    borders = np.cumsum([len(piece) for piece in pieces if len(piece)])
    error = np.concatenate([*pieces, decoder.finish()]) - whole
    level = np.sqrt(np.square(whole).mean())
    near = (error[border - codec.hop : border + codec.hop] for border in borders)
    return [20 * np.log10(np.sqrt(np.square(e).mean()) / level + 1e-9) for e in near]


def trade_off(codec: Codec, clips: list[NDArray[np.int64]]) -> list[dict[str, float]]:
    """Error for every context and look-ahead, worst and median over all borders."""
    wholes = codec.decode(clips)
    rows = []
    for context in (25, 50, 100, 200):
        for ahead in (2, 7, 14, 25):
            settings = StreamSettings(context=context, ahead=ahead)
            errors = [
                error
                for codes, whole in zip(clips, wholes, strict=True)
                for error in border_errors(codec, codes, whole, settings)
            ]
            delay = (settings.first + ahead) / codec.frame_rate
            row = {"context": context, "ahead": ahead, "delay_ms": 1000 * delay}
            row |= {"worst_db": max(errors), "median_db": statistics.median(errors)}
            print("| {context} | {ahead} | {delay_ms:.0f} | {worst_db:.1f} | {median_db:.1f} |".format(**row))
            rows.append(row)
    return rows


def speed(tts: llasa.Llasa, repeats: int) -> dict[str, float]:
    """Warm first audio in ms (median, worst), and the time of streaming over that of a call."""
    first, ratios, factors = [], [], []
    for seed in range(repeats + 1):  # the first pair warms up
        began = time.perf_counter()
        chunks = tts.stream(TEXT, seed=seed)
        seconds = next(chunks).seconds
        heard = time.perf_counter() - began
        seconds += sum(chunk.seconds for chunk in chunks)
        streamed = time.perf_counter() - began
        began = time.perf_counter()
        for part in llasa.text.split_text(TEXT, tts.settings.chunk_chars):
            pass
        offline = 0.0
        del part
        ...
    return {}
