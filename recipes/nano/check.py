"""Keep the clips of a manifest in which a recogniser hears what is to be said.

    python check.py MANIFEST OUT_MANIFEST [--worst 0.3]

Moonshine transcribes every clip; one with more wrong words than this share of its text is left out
(so are clips without words). Prints the counts. Safe to interrupt: each verdict is kept beside the
manifest, and a rerun goes on after the last one.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from script import run

from llasa.audio.audio import read_audio
from llasa.base.rows import Rows
from llasa.data.manifest import Utterance, read_manifest, write_manifest
from llasa.evaluation.judges import Judges
from llasa.verifiers import Candidate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--worst", type=float, default=0.3, help="share of wrong words")
    args = parser.parse_args()
    if args.out.resolve() == args.manifest.resolve() or not args.out.resolve().parent.is_dir():
        parser.error("OUT_MANIFEST must be another file than MANIFEST, in a folder that exists")
    clips = read_manifest(args.manifest)
    notes = args.manifest.with_suffix(".heard.jsonl")
    verdicts = Rows(notes, _key)
    judges = Judges("moonshine")
    judges.load()
    kept = []
    for clip in clips:
        key = (str(clip.path), clip.text)
        if key not in verdicts:
            rate, heard = rate_of(clip, judges)
            verdicts.add({"audio": key[0], "text": clip.text, "rate": rate, "heard": heard})
        rate = verdicts[key]["rate"]
        if rate is not None and rate <= args.worst:
            kept.append(clip)
    if not kept:
        raise SystemExit(f"None of the {len(clips)} clips of {args.manifest} is right: see {notes}")
    write_manifest(args.out, kept)
    print(f"{args.out}: {len(kept)} of {len(clips)} clips kept, {len(clips) - len(kept)} dropped")


def _key(row: dict[str, Any]) -> tuple[str, str]:
    """Clip and text of a verdict; KeyError, TypeError or ValueError for one that is of no use."""
    if row["rate"] is not None:
        float(row["rate"])
    return row["audio"], row["text"]


def rate_of(clip: Utterance, judges: Judges) -> tuple[float | None, str]:
    """Wrong words by words, None where the text has none; and what was heard."""
    found = judges(Candidate(text=clip.text, audio=read_audio(clip.path)))
    rate = found.error_rate
    return None if rate is None else round(rate, 3), "".join(found.heard.values())


if __name__ == "__main__":
    run(main)
