"""What the packaged model can do: words, likeness and quality of its speech and of its codec's.

    python evaluate.py [--model MODEL] [--manifest heldout/manifest.jsonl] [--limit 200]
        [--peers kokoro=peers/kokoro/manifest.jsonl piper=peers/piper/manifest.jsonl]
        [--typed ../search/everyday.jsonl]

Prints a table over held-out sentences, judged by Whisper-base, Moonshine, Resemblyzer and
DistillMOS. The recordings are those of its teacher hibari; peers are judged in the same run. Then
come lines as people type them, beside the same lines written out in words, by kind.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llasa.cli.main import main as llasa

JUDGES, RECOGNISERS = "whisper,moonshine,ge2e,distillmos", "whisper,moonshine"
TYPED = Path(__file__).resolve().parents[1] / "search" / "everyday.jsonl"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--manifest", default="heldout/manifest.jsonl")
    parser.add_argument("--peers", nargs="*", default=[], metavar="NAME=MANIFEST")
    parser.add_argument("--limit", default="200")
    parser.add_argument("--typed", default=str(TYPED))
    parser.add_argument("--out", default="evaluation")
    args = parser.parse_args(argv)
    wanted = ["--model", args.model, "--limit", args.limit, "-o", args.out, "--judges", JUDGES]
    peers = ["--peers", *args.peers] if args.peers else []
    if failed := llasa(["eval", "tts", args.manifest, *wanted, *peers]):
        return failed
    typed = ["--model", args.model, "-o", f"{args.out}/typed", "--judges", RECOGNISERS]
    return llasa(["eval", "tts", args.typed, "--written", *typed])


if __name__ == "__main__":
    sys.exit(main())
