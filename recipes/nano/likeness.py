"""How much like the prompt a model speaks, between the same speaker and a different one.

    python likeness.py MANIFEST [MANIFEST ...] --texts text/heldout.txt [--model MODEL]

Each manifest holds some clips of each of its speakers, with their words; one of 3 s or more is the
prompt. Cosines to it, by GE2E (Resemblyzer) and CAM++: of other clips of the speaker (what can be
reached), of other speakers (0 %), of the prompt and of the other clips after the codec, these with
the speaker embedding of the prompt, and of synthesis.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from script import run

import llasa
from llasa.audio.audio import Samples, read_audio
from llasa.data.manifest import Utterance, read_manifest
from llasa.models.recording import MAX_SECONDS
from llasa.verifiers.speaker import GE2E, CamPlus

RATE = 16_000
SHORTEST = 3.0
"""Seconds of a prompt."""
SYSTEMS = ("same", "different", "prompt after the codec", "other clips after it", "synthesis")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifests", nargs="+", type=Path)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--sentences", type=int, default=8, help="spoken by each voice")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    texts = list(filter(str.strip, args.texts.read_text().splitlines()))[: args.sentences]
    if args.sentences < 1 or not texts:
        parser.error("--sentences must be 1 or more, and TEXTS hold a sentence")
    tts = llasa.load(args.model)
    tts.capabilities.check_cloning()
    judges = (GE2E(), CamPlus())
    rows = [
        {"set": str(manifest), **row}
        for manifest in args.manifests
        for row in measure(tts, read_manifest(manifest), texts, judges)
    ]
    for row in rows:
        figures = "  ".join(f"{name} {row[name]:.3f}" for name in SYSTEMS)
        print(f"{row['set']} ({row['speakers']} speakers), {row['judge']}: {figures}")
        print(f"  synthesis is {100 * row['way']:.0f} % of the way from different to same")
    if args.json is not None:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


def measure(
    tts: llasa.Llasa, clips: list[Utterance], texts: list[str], judges: Sequence[GE2E | CamPlus]
) -> list[dict[str, str | float]]:
    """One row a judge."""
    speakers: dict[str, list[Utterance]] = defaultdict(list)
    for clip in clips:
        if clip.speaker is not None:
            speakers[clip.speaker].append(clip)
    sounds: dict[str, dict[str, list[Samples]]] = {}
    for name, theirs in speakers.items():
        usable = [c for c in theirs if c.text and SHORTEST <= (c.seconds or 0) <= MAX_SECONDS]
        if len(theirs) < 2 or not usable:
            print(
                f"{name} is left out: it takes two clips, one with words and `seconds` of 3 to 30"
            )
            continue
        prompt = usable[0]
        others = [
            read_audio(clip.path).mono().resample(RATE).samples
            for clip in theirs
            if clip is not prompt
        ]
        voice = tts.clone(prompt.path, prompt.text or "", name="prompt")
        sound = read_audio(prompt.path).mono().resample(RATE).samples
        again = [
            tts.codec.decode(tts.codec.encode([x]), voice.speaker_embedding)[0]
            for x in [sound, *others]
        ]
        said = [speech.audio.samples for speech in tts(texts, voice=voice, seed=1)]
        sounds[name] = {
            "prompt": [sound],
            "same": others,
            "prompt after the codec": again[:1],
            "other clips after it": again[1:],
            "synthesis": said,
        }
    if len(sounds) < 2:
        raise SystemExit("Likeness lies between speakers: a manifest needs two of them.")
    return [_row(judge, sounds) for judge in judges]


def _row(
    judge: GE2E | CamPlus, sounds: dict[str, dict[str, list[Samples]]]
) -> dict[str, str | float]:
    vectors = {
        speaker: {name: judge.embed(clips) for name, clips in theirs.items()}
        for speaker, theirs in sounds.items()
    }
    means: dict[str, list[float]] = defaultdict(list)
    for speaker, own in vectors.items():
        prompt = own["prompt"][0]
        strangers = np.concatenate([v["same"] for name, v in vectors.items() if name != speaker])
        for name, found in {**own, "different": strangers}.items():
            means[name].append(_mean(found @ prompt))
    row: dict[str, float] = {name: float(np.mean(means[name])) for name in SYSTEMS}
    way = (row["synthesis"] - row["different"]) / (row["same"] - row["different"])
    return {"judge": judge.name, "speakers": len(vectors), "way": way, **row}


def _mean(values: NDArray[np.float32]) -> float:
    return float(values.mean())


if __name__ == "__main__":
    run(main)
