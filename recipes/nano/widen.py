"""More speakers from few: clips of a manifest played faster and slower.

    python widen.py MANIFEST OUT_FOLDER --clips 200

Each clip is written at 88, 94, 106 and 112 % of its speed, with pitch and formants as a larger or
smaller person has them, as 16 kHz FLAC with `manifest.jsonl`; the speaker is named after both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import soundfile
import soxr
from script import run

from llasa.audio.audio import read_audio
from llasa.data.manifest import Manifest, Utterance, write_manifest

RATE = 24_000
SHIFTS = (-12, -6, 6, 12)
"""Percent."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, required=True, help="how many, from the first")
    args = parser.parse_args()
    if args.clips < 1 or args.out.resolve() == args.manifest.resolve().parent:
        parser.error("--clips must be 1 or more, and OUT_FOLDER another than that of the manifest")
    args.out.mkdir(parents=True, exist_ok=True)
    wide = []
    for number, clip in enumerate(Manifest(args.manifest).read(0, args.clips)):
        sound = read_audio(clip.path).mono().resample(RATE).samples
        for shift in SHIFTS:
            moved = soxr.resample(sound, RATE * (1 + shift / 100), RATE).clip(-1, 1)
            name = f"{number:05d}{shift:+d}.flac"
            soundfile.write(args.out / name, moved, RATE)
            speaker = f"{clip.speaker or number}{shift:+d}"
            seconds = round(len(moved) / RATE, 3)
            wide.append(Utterance(args.out / name, speaker=speaker, seconds=seconds))
    write_manifest(args.out / "manifest.jsonl", wide)
    print(f"{args.out}: {len(wide)} clips")


if __name__ == "__main__":
    run(main)
