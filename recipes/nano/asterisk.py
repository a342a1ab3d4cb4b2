"""The voice prompts of Asterisk, real speech of five people in five languages, as FLAC.

    python asterisk.py PACKAGES_FOLDER OUT_FOLDER

PACKAGES_FOLDER holds the unpacked `asterisk-core-sounds-{en,es,fr,it,ru}-g722` and, for the words
of the English ones, `asterisk-core-sounds-en` (CC BY-SA 3.0, ru: CC BY 3.0). Needs PyAV (`pip
install av`), which reads G.722. Writes 16 kHz FLAC files and `manifest.jsonl`.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import av
import numpy as np
import soundfile
from script import run

from llasa.audio.audio import as_samples
from llasa.data.manifest import Utterance, write_manifest

RATE = 16_000
SHORTEST = 0.6
"""Seconds; shorter prompts are single letters and beeps."""
QUIETEST = 0.05
"""Peak below which a prompt is silence."""


def words(packages: Path) -> dict[str, str]:
    """What is said in the English prompts, by name."""
    path = packages / "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        pairs = (line.partition(":") for line in lines if not line.startswith(";"))
        return {name.strip(): text.strip() for name, _, text in pairs if text.strip()}


def read(path: Path) -> np.ndarray:
    """Mono float32 at 16 kHz."""
    decoder = av.CodecContext.create("g722", "r")
    frames = decoder.decode(av.Packet(path.read_bytes()))  # type: ignore[attr-defined]
    joined = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
    return as_samples(joined, str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    texts, rows, total = words(args.packages), [], 0.0
    for folder in sorted((args.packages / "usr/share/asterisk/sounds").iterdir()):
        for path in sorted(folder.rglob("*.g722")):
            if not path.stat().st_size:
                continue
            samples = read(path)
            seconds = len(samples) / RATE
            if seconds < SHORTEST or np.abs(samples).max() < QUIETEST:
                continue
            name = path.relative_to(folder).with_suffix("").as_posix()
            target = args.out / folder.name / f"{name.replace('/', '_')}.flac"
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, samples, RATE)
            english = folder.name.startswith("en")
            rows.append(
                Utterance(
                    target,
                    text=texts.get(name) if english else None,
                    speaker=f"asterisk_{folder.name}",
                    seconds=round(seconds, 3),
                    language=folder.name[:2],
                )
            )
            total += seconds
    write_manifest(args.out / "manifest.jsonl", rows)
    print(f"{args.out}: {len(rows)} clips, {total / 3600:.2f} h")


if __name__ == "__main__":
    run(main)
