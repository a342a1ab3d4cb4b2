"""What the packaged model can do: words, likeness and quality of its speech and of its codec's.

    python evaluate.py [--model MODEL] [--manifest heldout/manifest.jsonl] [--limit 200]
        [--peers kokoro=peers/kokoro/manifest.jsonl piper=peers/piper/manifest.jsonl]

Prints a table over held-out sentences, judged by Whisper-base, Moonshine, Resemblyzer and
DistillMOS. The recordings are those of its teacher hibari; peers are judged in the same run.
"""

from __future__ import annotations

import argparse
import sys

from llasa.cli.main import main as llasa

JUDGES = "whisper,moonshine,ge2e,distillmos"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--manifest", default="heldout/manifest.jsonl")
    parser.add_argument("--peers", nargs="*", default=[], metavar="NAME=MANIFEST")
    parser.add_argument("--limit", default="200")
    parser.add_argument("--out", default="evaluation")
    args = parser.parse_args()
    wanted = ["--model", args.model, "--limit", args.limit, "-o", args.out, "--judges", JUDGES]
    peers = ["--peers", *args.peers] if args.peers else []
    return llasa(["eval", "tts", args.manifest, *wanted, *peers])


if __name__ == "__main__":
    sys.exit(main())
