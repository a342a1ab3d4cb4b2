"""What the packaged model can do: words, likeness and quality of its speech and of its codec's.

    python evaluate.py [--model MODEL] [--manifest heldout/manifest.jsonl] [--limit 100]

Prints a table over held-out sentences, judged by Whisper-base, Resemblyzer and DistillMOS.
"""

from __future__ import annotations

import argparse
import sys

from llasa.cli.main import main as llasa


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--manifest", default="heldout/manifest.jsonl")
    parser.add_argument("--limit", default="100")
    parser.add_argument("--out", default="evaluation")
    args = parser.parse_args()
    wanted = ["--model", args.model, "--limit", args.limit, "-o", args.out]
    return llasa(["eval", "tts", args.manifest, *wanted])


if __name__ == "__main__":
    sys.exit(main())
