"""CPU time of encoding (tokenising) and decoding clips: one by one, as `Codec` does, and stacked.

    python benchmarks/codec.py [--model nano] [--clips 12] [--seconds 3] [--repeats 5]

CPU seconds for a second of sound, all threads, the median of runs that alternate. Stacked clips are
of one length, which is the best that any batch could do. Set OMP_NUM_THREADS to choose the threads.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from llasa.codec.codec import Codec
from llasa.models.find import find_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    codec = Codec.load(find_model(args.model).codec, "cpu")
    rng = np.random.default_rng(0)
    frames = round(args.seconds * codec.frame_rate)
    codes = rng.integers(0, codec.codebook_size, (args.clips, frames))
    shape = args.clips, frames * codec.input_hop
    clips = rng.normal(0, 0.1, shape).astype(np.float32)
    ways: dict[str, Callable[[], object]] = {
        "encode, one by one": lambda: codec.encode([*clips], codec.input_rate, "none"),
        "encode, stacked": lambda: codec.model.encode(torch.from_numpy(clips)),
        "decode, one by one": lambda: codec.decode([*codes]),
        "decode, stacked": lambda: codec.model.decode(torch.from_numpy(codes)),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        for _ in range(args.repeats + 1):
            for name, run in ways.items():
                began = time.process_time()
                run()
                took[name].append(time.process_time() - began)
    print(f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    print("| | CPU seconds a second of sound |\n|---|---|")
    for name, seconds in took.items():
        share = statistics.median(seconds[1:]) / (args.clips * args.seconds)  # the first warms up
        print(f"| {name} | {share:.4f} |")


if __name__ == "__main__":
    main()
