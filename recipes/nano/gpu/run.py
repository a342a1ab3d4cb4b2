"""One GPU, half an hour: the parts of the run. See README.md.

python run.py prepare OUT --texts FILE --valid MANIFEST... --semantic FILE --speech NAME=FILE...
python run.py codec   --seconds 570 --work DIR --out DIR --from DIR... [--set KEY=VALUE...]
python run.py lm      --seconds 570 --work DIR --out DIR --from DIR... [--set KEY=VALUE...]
python run.py decoder --seconds 300 --work DIR --out DIR --from DIR... [--set KEY=VALUE...]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import pieces

from llasa.base.errors import LlasaError
from llasa.training.config import load_settings

# Processes that unpack and synthesise import this file: torch must wait until it is needed.

HERE = Path(__file__).parent
CLOSING = 15.0
"""Seconds kept for the last save and evaluation."""
TOKENS_HOME = 5_000_000
"""Codes that go home, so that a language model can go on elsewhere."""


class Part:
    """What all parts share: the clock, and where things are."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.began = time.monotonic()
        self.end = self.began + args.seconds - CLOSING
        self.work, self.out = args.work.resolve(), args.out.resolve()
        self.sources = [Path(folder).resolve() for folder in args.sources]
        self.audio, self.tokens = self.work / "audio", self.work / "tokens"
        for folder in (self.audio, self.tokens, self.out):
            folder.mkdir(parents=True, exist_ok=True)

    def find(self, name: str) -> Path:
        """A file or folder that was brought along."""
        for folder in self.sources:
            if (folder / name).exists():
                return folder / name
        places = ", ".join(map(str, self.sources))
        raise LlasaError(f"{name} is in none of the folders given with --from ({places}).")

    def unpack(self, pitch: bool = False) -> None:
        """Recordings that were brought along become pools, if wanted with their pitch."""
        from pool import PoolWriter, unpack

        from llasa.audio.audio import read_audio
        from llasa.data.manifest import read_manifest

        files = [path for folder in self.sources for path in sorted(folder.glob("*.opus"))]
        with get_context("spawn").Pool(self.args.processes) as workers:
            workers.starmap(unpack, [(path, self.audio, pitch) for path in files], chunksize=1)
        writer = PoolWriter(self.audio / "heldout-000")
        for clip in read_manifest(self.find("valid/manifest.jsonl"))[writer.count :]:
            samples = read_audio(clip.path).mono().resample(16_000).samples
            writer.add(samples, clip.text, clip.speaker, clip.timing, clip.phones)
        writer.close()
        self.say(f"{len(files)} files unpacked")

    def synthesiser(self, seconds: float, pitch: bool = False) -> BaseProcess | None:
        """The synthesiser at work for so long, unless it was not brought along."""
        from synthesise import synthesise

        brought = any((folder / "train.txt").exists() for folder in self.sources)
        if not brought or seconds <= 0 or self.args.hours <= 0:
            return None
        arguments = (self.find("train.txt"), self.audio, time.time() + seconds)
        amount = (self.args.hours, self.args.processes, pitch)
        process = get_context("spawn").Process(target=synthesise, args=(*arguments, *amount))
        process.start()
        return process

    def home(self, name: str) -> Path | None:
        """A model that was brought along in pieces, or None."""
        if pieces.newest(self.sources, name) is None:
            return None
        folder = self.work / "home" / name
        number = pieces.join(self.sources, name, folder)
        self.say(f"{name} brought along, step {number}")
        return folder

    def codec(self) -> Path | None:
        """The codec trained here, or else the one brought along."""
        from llasa.training.checkpoint import checkpoints

        found = checkpoints(self.work / "runs" / "codec")
        return found[-1][1] if found else self.home("codec")

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:.0f} s] {text}", flush=True)


def codec(part: Part, decoder: bool) -> None:
    """Train the codec, or its decoder alone, while the synthesiser makes more to learn from."""
    import train_codec
    from timed import Plan

    from llasa.training.checkpoint import checkpoints
    from llasa.training.codec.settings import CodecTraining

    part.unpack(pitch=True)
    name = "decoder" if decoder else "codec"
    valid = part.find("valid/manifest.jsonl")
    overrides = [
        f"run.out={part.work / 'runs' / name}",
        f"data.valid={valid}",
        f"data.train=[{{manifest: {valid}}}]",  # only its first batch is read
    ]
    start = None if checkpoints(part.work / "runs" / name) else part.home(name)
    if decoder and start is None:
        start = part.codec()
        if start is None:
            raise LlasaError("There is no codec whose decoder could be trained.")
    if start is not None:
        overrides += [f"init={start}", *([] if decoder else ["codec={}"])]
    else:
        overrides += [f"semantic_weights={part.find('semantic.safetensors')}"]
    file = HERE / f"{name}.yaml"
    settings = load_settings(CodecTraining, file, overrides + part.args.settings)
    speaker = part.synthesiser(part.end - time.monotonic(), pitch=True)
    left = part.end - time.monotonic()
    plan = Plan(part.end, part.args.decay * left, part.out, name)
    adversarial_at = time.monotonic() + part.args.mel * left
    train_codec.train(settings, part.audio, plan, adversarial_at)
    if speaker is not None:
        speaker.join()
    part.say(f"{name} done")


def lm(part: Part) -> None:
    """Encode what has not been encoded, then train the language model."""
    import torch
    import train_lm
    from timed import Plan

    from llasa.training.checkpoint import checkpoints
    from llasa.training.lm.settings import LMTraining

    encode_all(part)
    runs = part.work / "runs" / "lm"
    train = []
    for folder in sorted(part.tokens.glob("*/")):
        copies = part.args.repeat.get(folder.name, 1)
        train += [str(folder)] * copies * (folder.name != "heldout")
    overrides = [
        f"run.out={runs}",
        f"vocabulary={part.find('vocabulary')}",
        f"data.train=[{', '.join(train)}]",
    ]
    if (part.tokens / "heldout").exists():
        overrides.append(f"data.valid=[{part.tokens / 'heldout'}]")
    if not checkpoints(runs) and (start := part.home("lm")):
        overrides += [f"init={start}", "alignment.weight=0", "data.short_first=0"]
    settings = load_settings(LMTraining, HERE / "lm.yaml", overrides + part.args.settings)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    measured, nominal = train_lm.measured_peak(device), part.args.peak * 1e12
    part.say(f"matrix products {measured / 1e12:.3g} TFLOP/s; MFU is of {nominal / 1e12:.3g}")
    trainer = train_lm.TimedLM(settings, part.args.loaders, nominal)
    left = part.end - time.monotonic()
    trainer.train_until(Plan(part.end, part.args.decay * left, part.out, "lm"))
    part.say("lm done")


def encode_all(part: Part) -> None:
    """Token shards of all audio that is here; some of them go home."""
    found = part.codec()
    if found is None and not any(part.tokens.iterdir()) and part.home("tokens"):
        (part.work / "home" / "tokens").replace(part.tokens)
        return
    if found is None:
        raise LlasaError("There is neither a codec to encode with nor are there tokens.")
    from encode import encode, sample

    from llasa.codec.codec import Codec

    part.unpack()
    if not list(part.audio.glob("hibari-*.pcm")):
        speaker = part.synthesiser(part.args.first * part.args.seconds)
        if speaker is not None:
            speaker.join()
    encode(part.audio, part.tokens, Codec.load(found))
    sample(part.tokens, part.work / "sample", TOKENS_HOME)
    pieces.split(part.work / "sample", part.out, "tokens", int(time.time()))
    part.say("tokens ready")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    before = parts.add_parser("prepare", help="gather what the GPU machine gets")
    before.add_argument("out", type=Path)
    before.add_argument("--texts", type=Path, required=True)
    before.add_argument("--valid", type=Path, nargs="+", required=True)
    before.add_argument("--clips", type=int, default=24, help="of each held-out manifest")
    before.add_argument("--semantic", type=Path, required=True)
    before.add_argument("--speech", nargs="*", default=[], metavar="NAME=FILE")
    before.add_argument("--kbps", type=float, default=16.0)
    before.add_argument("--limit", type=float, default=17.0, help="MiB of a speech folder")
    before.add_argument("--python", default="3.12", help="version on the GPU machine")
    cores = os.cpu_count() or 1
    for name in ("codec", "decoder", "lm"):
        part = parts.add_parser(name)
        part.add_argument("--seconds", type=float, required=True)
        part.add_argument("--work", type=Path, required=True, help="local disk")
        part.add_argument("--out", type=Path, required=True, help="what goes home")
        part.add_argument("--from", dest="sources", nargs="+", required=True, metavar="FOLDER")
        part.add_argument("--processes", type=int, default=max(1, cores - 3))
        part.add_argument("--hours", type=float, default=200.0, help="speech to synthesise")
        part.add_argument("--decay", type=float, default=0.25, help="share of the time")
        part.add_argument("--mel", type=float, default=0.45, help="share without discriminators")
        part.add_argument("--first", type=float, default=0.2, help="share to synthesise first")
        part.add_argument("--loaders", type=int, default=max(1, cores // 2))
        part.add_argument("--peak", type=float, default=989.0, help="TFLOP/s of the device")
        part.add_argument("--repeat", nargs="*", default=[], metavar="GROUP=TIMES")
        part.add_argument("--set", dest="settings", nargs="*", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    if args.part != "prepare":
        pairs = (pair.split("=") for pair in args.repeat)
        args.repeat = {name: int(times) for name, times in pairs}
    return args


def main() -> None:
    args = arguments()
    if args.part == "prepare":
        import yaml
        from prepare import prepare

        speech = [(name, Path(path)) for name, path in (pair.split("=") for pair in args.speech)]
        levels = yaml.safe_load((HERE / "codec.yaml").read_text())["codec"]["levels"]
        prepare(
            args.out,
            args.texts,
            args.valid,
            args.semantic,
            speech,
            levels=levels,
            clips=args.clips,
            kbps=args.kbps,
            limit=int(args.limit * 2**20),
            python=args.python,
        )
        return
    from torch._dynamo import config

    config.suppress_errors = True  # what cannot be compiled runs as it is
    if args.part == "lm":
        lm(Part(args))
    else:
        codec(Part(args), args.part == "decoder")


if __name__ == "__main__":
    try:
        main()
    except LlasaError as error:
        sys.exit(f"error: {error}")
