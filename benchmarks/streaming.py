"""Streaming: error against offline decoding, first audio, and speed against offline synthesis.

    python benchmarks/streaming.py [MODEL] [--data FOLDER] [--clips 2] [--plot out.png]

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
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import llasa
from llasa.audio.audio import read_audio
from llasa.base import jsonl
from llasa.codec.codec import Codec
from llasa.codec.streaming import StreamingDecoder, StreamSettings

TEXT = "The birch canoe slid on the smooth planks, and the fox watched it from the bank."
LISTS = ("kathleen.test.jsonl", "librispeech.jsonl")
STRETCH = 25
"""Frames between the borders where the error is measured."""


def clips_of(folder: Path, codec: Codec, each: int, frames: int) -> list[NDArray[np.int64]]:
    """Codes of the first recordings of both lists."""
    rows = [
        row
        for name in LISTS
        for _, row in islice(jsonl.read((folder / name).read_bytes(), name), each)
    ]
    return [
        codes[:frames] for codes in codec.encode([read_audio(folder / r["audio"]) for r in rows])
    ]


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
    return [float(20 * np.log10(np.sqrt(np.square(e).mean()) / level + 1e-9)) for e in near]


def plot(codec: Codec, codes: NDArray[np.int64], path: Path) -> None:
    """Offline and streamed waveform, and the level of their difference, at the default setting."""
    from matplotlib.figure import Figure

    (whole,) = codec.decode([codes])
    decoder = StreamingDecoder(codec)
    pieces = [decoder.push(codes[i : i + 1]) for i in range(len(codes))]
    streamed = np.concatenate([*pieces, decoder.finish()])
    borders = np.cumsum([len(piece) for piece in pieces if len(piece)]) / codec.sample_rate
    time_axis = np.arange(len(whole)) / codec.sample_rate
    frames = (streamed - whole)[: len(whole) // codec.hop * codec.hop].reshape(-1, codec.hop)
    level = np.sqrt(np.square(whole).mean())
    error = 20 * np.log10(np.sqrt(np.square(frames).mean(1)) / level + 1e-9)
    figure = Figure((10, 6), layout="constrained")
    waves, errors = figure.subplots(2, 1, sharex=True)
    waves.plot(time_axis, whole, lw=0.5, label="offline")
    waves.plot(time_axis, streamed, lw=0.5, label="streamed")
    waves.legend(loc="upper right")
    errors.plot(np.arange(len(error)) / codec.frame_rate, error, lw=0.8)
    errors.axhline(-40, color="grey", ls="--")
    errors.set(xlabel="seconds", ylabel="difference (dB below the level)")
    for border in borders:
        waves.axvline(border, color="grey", lw=0.5)
        errors.axvline(border, color="grey", lw=0.5)
    figure.savefig(path, dpi=120)


def trade_off(codec: Codec, clips: list[NDArray[np.int64]]) -> list[dict[str, float]]:
    """Error for every context and look-ahead, worst and median over all borders."""
    wholes = codec.decode(clips)
    rows = []
    for context in (32, 64, 109):
        for ahead in (2, 8, 11, 14):
            settings = StreamSettings(context=context, ahead=ahead)
            errors = [
                error
                for codes, whole in zip(clips, wholes, strict=True)
                for error in border_errors(codec, codes, whole, settings)
            ]
            delay = (settings.first + ahead) / codec.frame_rate
            row = {"context": context, "ahead": ahead, "delay_ms": 1000 * delay}
            row |= {"worst_db": max(errors), "median_db": statistics.median(errors)}
            cells = [context, ahead, *(f"{row[k]:.1f}" for k in list(row)[2:])]
            print("|", " | ".join(map(str, cells)), "|", flush=True)
            rows.append(row)
    return rows


def speed(tts: llasa.Llasa, repeats: int) -> dict[str, float]:
    """Warm first audio in ms (median, worst) and real-time factors, in pairs with equal seeds."""
    first, streamed, offline = [], [], []
    for seed in range(repeats + 1):
        began = time.perf_counter()
        chunks = tts.stream(TEXT, seed=seed)
        seconds = next(chunks).seconds
        heard = time.perf_counter() - began
        seconds += sum(chunk.seconds for chunk in chunks)
        took = time.perf_counter() - began
        speech = tts(TEXT, seed=seed)
        if seed:  # the first pair warms up
            first.append(1000 * heard)
            streamed.append(took / seconds)
            offline.append(speech.rtf)
    return {
        "first_audio_ms": statistics.median(first),
        "worst_first_audio_ms": max(first),
        "streamed_rtf": statistics.median(streamed),
        "offline_rtf": statistics.median(offline),
        "ratio": statistics.median(s / o for s, o in zip(streamed, offline, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="nano")
    parser.add_argument("--data", type=Path, default=os.environ.get("LLASA_DATA"))
    parser.add_argument("--clips", type=int, default=2, help="of each list")
    parser.add_argument("--frames", type=int, default=400, help="most of a clip")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--plot", type=Path, help="also draw a streamed clip and its borders here")
    args = parser.parse_args()
    if args.data is None:
        parser.error("set LLASA_DATA or --data to the folder with the recordings")
    tts = llasa.load(args.model)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    codec = tts.codec
    assert isinstance(codec, Codec)
    reach = codec.model.config.reach
    print(f"{machine}, torch {torch.__version__}; {tts.name}, the decoder's reach: {reach}")
    measured = speed(tts, args.repeats)
    print(", ".join(f"{name} {value:.2f}" for name, value in measured.items()))
    print("| context | look-ahead | delay (ms) | worst border (dB) | median (dB) |")
    print("|---|---|---|---|---|")
    clips = clips_of(args.data, codec, args.clips, args.frames)
    errors = trade_off(codec, clips)
    if args.plot:
        plot(codec, clips[0], args.plot)
    if args.json:
        report = {"machine": machine, "model": args.model, "speed": measured, "errors": errors}
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
