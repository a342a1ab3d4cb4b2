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

from llasa.data.manifest import Utterance, read_manifest, write_manifest
from llasa.errors import LlasaError
from llasa.files import Rows
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
    if args.out.resolve() == args.manifest.resolve() or not args.out.resolve().parent.is_dir():
        parser.error("OUT_MANIFEST must be another file than MANIFEST, in a folder that exists")
    clips = read_manifest(args.manifest)
    notes = args.manifest.with_suffix(".heard.jsonl")
    verdicts = Rows(notes, _key)
    judge = Content(Moonshine())
    judge.load()
    kept = []
    for clip in clips:
        key = (str(clip.path), clip.text)
        if key not in verdicts:
            rate, heard = rate_of(clip, judge)
            verdicts.add({"audio": key[0], "text": clip.text, "rate": rate, "heard": heard})
        rate = verdicts[key]["rate"]
        if rate is not None and rate <= args.worst:
            kept.append(clip)
    if not kept:
        raise SystemExit(f"none of the {len(clips)} clips of {args.manifest} is right: see {notes}")
    write_manifest(args.out, kept)
    print(f"{args.out}: {len(kept)} of {len(clips)} clips kept, {len(clips) - len(kept)} dropped")


def _key(row: dict[str, Any]) -> tuple[str, str]:
    """Clip and text of a verdict; KeyError, TypeError or ValueError for one that is of no use."""
    if row["rate"] is not None:
        float(row["rate"])
    return row["audio"], row["text"]


def rate_of(clip: Utterance, judge: Content) -> tuple[float | None, str]:
    """Wrong words by words, None where the text has none; and what was heard."""
    wanted = judge.units(clip.text or "")
    if not wanted:
        return None, ""
    (heard,) = judge.recognizer.transcribe([load_mono(clip.path, RATE)])
    return round(errors(wanted, judge.units(heard.text)) / len(wanted), 3), heard.text


if __name__ == "__main__":
    try:
        main()
    except (LlasaError, OSError) as error:
        raise SystemExit(f"check.py: {error}") from error
