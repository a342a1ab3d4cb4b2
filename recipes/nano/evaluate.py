"""Judge nano on sentences that were never trained on, with Whisper-base.

    python evaluate.py HELDOUT_MANIFEST [--model FOLDER | --codec FOLDER]

Prints a table: word error rate of the recordings themselves, of their codec resynthesis, and of
speech synthesised from their texts. `--codec` scores a codec alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import jiwer
import numpy as np
import torch
from whisper_normalizer.english import EnglishTextNormalizer

from llasa.audio import read_audio
from llasa.codec.codec import Codec
from llasa.data.manifest import Utterance, read_manifest
from llasa.search.verifiers.base import RATE
from llasa.search.verifiers.whisper import Whisper

Speaker = Callable[[Utterance], np.ndarray]
normalize = EnglishTextNormalizer()


def error_rate(
    name: str, clips: Iterable[Utterance], speak: Speaker, judge: Whisper, show: bool
) -> dict[str, float | str]:
    """Corpus WER in percent, and the share of clips with a WER above 50 %."""
    wanted, heard, seconds = [], [], 0.0
    for clip in clips:
        audio = speak(clip)
        seconds += len(audio) / RATE
        text = normalize(clip.text or "")
        wanted.append(text)
        heard.append(normalize(judge.transcribe([audio])[0].text))
        if show:
            print(f"  {text}\n    -> {heard[-1]}", flush=True)
    failed = np.mean([jiwer.wer(w, h) > 0.5 for w, h in zip(wanted, heard, strict=True)])
    return {
        "what": name,
        "clips": len(wanted),
        "seconds": round(seconds, 1),
        "WER %": round(100 * jiwer.wer(wanted, heard), 1),
        "clips with WER > 50 %": round(100 * float(failed), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--whisper", help="folder or hub id of another Whisper as the judge")
    parser.add_argument("--model", default="nano", help="model name or folder")
    parser.add_argument("--codec", type=Path, help="score this codec alone")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print every transcript")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    args = parser.parse_args()
    torch.set_num_threads(2)
    judge = Whisper(args.whisper)
    clips = [u for u in read_manifest(args.manifest) if u.text][: args.clips]

    def original(clip: Utterance) -> np.ndarray:
        return read_audio(clip.path).mono().resample(RATE).samples

    rows = [error_rate("recording", clips, original, judge, False)]
    if args.codec:
        codec = Codec.load(args.codec, device="cpu")
    else:
        from llasa.synthesis import Llasa

        model = Llasa.load(args.model, device="cpu")
        codec = model.codec

    def resynthesis(clip: Utterance) -> np.ndarray:
        return codec.decode(codec.encode([original(clip)], RATE))[0]

    rows.append(error_rate("codec resynthesis", clips, resynthesis, judge, args.show))
    if not args.codec:

        def synthesis(clip: Utterance) -> np.ndarray:
            return model(clip.text or "", seed=args.seed).audio.resample(RATE).samples

        rows.append(error_rate("synthesis", clips, synthesis, judge, args.show))
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(v) for v in row.values()) + " |")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
