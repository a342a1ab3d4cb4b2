"""Have another system speak the texts that `llasa eval understanding --texts` wrote.

    python peer.py hibari texts.jsonl OUT_FOLDER      # the teacher of nano
    python peer.py piper texts.jsonl OUT_FOLDER
    python peer.py kokoro texts.jsonl OUT_FOLDER --voices PACK_FOLDER --only af_heart

The engines and what they need are those of `recipes/nano/speech.py`. A rerun speaks what lacks.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from llasa.audio.audio import Audio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "nano"))


def main() -> None:
    from speech import ENGINES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=list(ENGINES))
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--voices", type=Path, help="folder of Kokoro's voices (*.bin)")
    parser.add_argument("--only", nargs="*", help="the voices to take")
    # What the engines ask for besides: nobody else's voices, and the engine's own pace.
    parser.set_defaults(widen=False, steady=True, blends=0, hold_out=[])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    speak = ENGINES[args.engine](args)
    for row in map(json.loads, args.texts.read_text().splitlines()):
        path = args.out / f"{row['id']}.wav"
        if not path.exists():
            samples, rate, *_ = speak(row["text"], np.random.default_rng(row["seed"]))
            Audio(samples.astype(np.float32).clip(-1, 1), rate).write(path)


if __name__ == "__main__":
    main()
