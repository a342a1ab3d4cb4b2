"""Voice files for the packaged model, from clips of a manifest.

    python voices.py CODEC OUT_FOLDER heart=heldout/manifest.jsonl emma=emma/manifest.jsonl

A name is followed by a manifest of one speaker, whose first clip of 4 to 8 s is taken. Whether it
is a woman's or a man's is seen from the speaker's name, as `speech.py` writes it.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

from script import run

import llasa
from llasa.data.manifest import read_manifest
from llasa.models.voice import SUFFIX, Gender

SECONDS = (4.0, 8.0)
WOMEN, MEN = re.compile(r"hibari_heart|kokoro_[ab]f_"), re.compile(r"kokoro_[ab]m_")


def gender_of(speaker: str | None) -> Gender | None:
    """That of a speaker of hibari or Kokoro; None for others."""
    name = speaker or ""
    return "female" if WOMEN.match(name) else "male" if MEN.match(name) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("codec")
    parser.add_argument("out", type=Path)
    parser.add_argument("voices", nargs="+", metavar="NAME=MANIFEST")
    args = parser.parse_args()
    codec = llasa.load_codec(args.codec)
    args.out.mkdir(parents=True, exist_ok=True)
    low, high = SECONDS
    for wanted in args.voices:
        name, equals, manifest = wanted.partition("=")
        if not equals:
            raise SystemExit(f"{wanted} names no manifest: give NAME=MANIFEST.")
        fits = (clip for clip in read_manifest(manifest) if low <= (clip.seconds or 0) <= high)
        if (clip := next(fits, None)) is None:
            raise SystemExit(f"{manifest} has no clip of {low:g} to {high:g} s.")
        voice = llasa.Voice.from_audio(clip.path, clip.text or "", codec, name)
        voice = replace(voice, gender=gender_of(clip.speaker))
        voice.save(args.out / f"{name}{SUFFIX}")
        print(f"{name}: {voice.seconds:.1f} s, {voice.transcript}")


if __name__ == "__main__":
    run(main)
