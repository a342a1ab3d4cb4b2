"""Keep the clips of a manifest in which a recogniser hears what is to be said.

    python check.py MANIFEST OUT_MANIFEST [--worst 0.3]

Moonshine transcribes every clip; one with more wrong words than this share of its text is left out
(so are clips without words). Prints the counts. Safe to interrupt: each verdict is kept beside the
manifest, and a rerun goes on after the last one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from llasa.data.manifest import Utterance, read_manifest, write_manifest
from llasa.search.verifiers.asr import errors
from llasa.search.verifiers.content import Content
from llasa.search.verifiers.moonshine import Moonshine
from llasa.training.audio_data import load_mono

RATE = 16_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--worst", type=float, default=0.3, help="share of wrong words")
    args = parser.parse_args()
    clips = read_manifest(args.manifest)
    notes = args.manifest.with_suffix(".heard.jsonl")
    lines = notes.read_text().splitlines() if notes.exists() else []
    rates = [json.loads(line)["rate"] for line in lines]
    judge = Content(Moonshine())
    judge.load()
    with notes.open("a") as file:
        for clip in clips[len(rates) :]:
            rate, heard = rate_of(clip, judge)
            rates.append(rate)
            file.write(json.dumps({"audio": clip.path.name, "rate": rate, "heard": heard}) + "\n")
            file.flush()
    heard_well = [rate is not None and rate <= args.worst for rate in rates]
    kept = [clip for clip, good in zip(clips, heard_well, strict=True) if good]
    write_manifest(args.out, kept)
    print(f"{args.out}: {len(kept)} of {len(clips)} clips kept, {len(clips) - len(kept)} dropped")


def rate_of(clip: Utterance, judge: Content) -> tuple[float | None, str]:
    """Wrong words by words, None where the text has none; and what was heard."""
    wanted = judge.units(clip.text or "")
    if not wanted:
        return None, ""
    (heard,) = judge.recognizer.transcribe([load_mono(clip.path, RATE)])
    return round(errors(wanted, judge.units(heard.text)) / len(wanted), 3), heard.text


if __name__ == "__main__":
    main()
