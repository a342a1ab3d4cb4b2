"""One model, one set of rows, two trainers: `llasa train lm` and the Trainer of Transformers.

    python benchmarks/train_peer.py [--shape nano] [--tokens 8192] [--steps 6] [--no-bf16]
        [--compile] [--json out.json]

Both start from the same weights in the same process and take turns, step by step; both pad rows of
similar length together, clip, and use AdamW. What counts are the tokens of rows, without padding.
Time is CPU time of this process, so that others disturb little, and wall clock where a GPU works.
MFU is the share of what a large matrix product reaches here in the same arithmetic.

The Trainer of Transformers does not start without accelerate, which is in no extra of this package,
since the package itself never needs it. It changes fast; the published figures were made with:

    pip install '.[w2v-bert]' accelerate==1.15.0
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

from llasa.lm.checkpoint import save_llama
from llasa.training.config import load_settings
from llasa.training.lm.batch import Batch
from llasa.training.lm.plan import flops_per_token
from llasa.training.lm.settings import LMTraining
from llasa.training.lm.trainer import LMTrainer
from llasa.vocabulary.rows import IGNORE
from train import Shape, write_data

WARM = 2
"""Steps before time counts."""


def clock() -> float:
    """Seconds of this process, or of the world where a GPU works beside it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def own_trainer(folder: Path, shape: Shape, args: argparse.Namespace) -> LMTrainer:
    """Plain settings: nothing that the other one does not do."""
    settings = {
        "vocabulary": str(folder / "vocabulary"),
        "run": {
            **{"out": str(folder / "run"), "steps": 1000},
            **{"bf16": args.bf16, "compile": args.compile},
        },
        "data": {"train": [str(folder / "tokens")], "tokens": args.tokens},
        "model": shape.model(),
    }
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(settings))
    return LMTrainer(load_settings(LMTraining, path, []))


def peer_batches(batches: list[Batch]) -> Iterator[dict[str, torch.Tensor]]:
    """The same rows as Transformers takes them."""
    for batch in batches:
        mask = (batch.row >= 0).long()
        yield {"input_ids": batch.ids, "labels": batch.labels, "attention_mask": mask}


class Peer:
    """The Trainer of Transformers, driven one step at a time."""

    def __init__(self, folder: Path, batches: list[Batch], bf16: bool) -> None:
        from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        arguments = TrainingArguments(
            output_dir=str(folder / "peer"),
            max_steps=len(batches),
            per_device_train_batch_size=1,
            bf16=bf16,
            use_cpu=not torch.cuda.is_available(),
            learning_rate=5e-5,
            adam_beta2=0.95,
            weight_decay=0.01,
            lr_scheduler_type="constant",
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        rows = list(peer_batches(batches))
        self.trainer = Trainer(
            self.model, arguments, train_dataset=rows, data_collator=lambda rows: rows[0]
        )

    def run(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        """Train; calls `begin` and `end` around every step."""
        from transformers import TrainerCallback

        class Watch(TrainerCallback):
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                begin()

            def on_step_end(self, *_: Any, **__: Any) -> None:
                end()

        self.trainer.add_callback(Watch())
        self.trainer.train()


def peak(bf16: bool) -> float:
    """Floating-point operations a second of a large matrix product here."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = 8192 if device == "cuda" else 1536
    kind = torch.bfloat16 if bf16 else torch.float32
    a, b = (torch.randn(size, size, dtype=kind, device=device) for _ in range(2))
    best = 0.0
    for _ in range(4):
        began = clock()
        torch.mm(a, b)
        best = max(best, 2 * size**3 / max(clock() - began, 1e-9))
    return best


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Figures of both; the loss of the first batch shows that they train the same model."""
    shape = Shape.parse(args.shape)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        write_data(folder)
        own = own_trainer(folder, shape, args)
        save_llama(own.llama, folder / "model")
        batches = [own.batch(step)[0] for step in range(WARM + args.steps)]
        peer = Peer(folder / "model", batches, args.bf16)
        with torch.no_grad():
            first = next(peer_batches(batches[:1]))
            theirs = float(peer.model(**first).loss)
            ours = float(own.objective(batches[0]).codes.sum()) / batches[0].learnt()
        seconds: dict[str, list[float]] = {"llasa": [], "transformers": []}
        began = 0.0

        def begin() -> None:
            nonlocal began
            number = len(seconds["llasa"])
            at = clock()
            own.step([batches[number]])
            own.finished += 1
            seconds["llasa"].append(clock() - at)
            gc.collect()
            began = clock()

        peer.run(begin, lambda: seconds["transformers"].append(clock() - began))
        tokens = sum(int((batch.row >= 0).sum()) for batch in batches[WARM:])
        width = sum(batch.ids.shape[1] for batch in batches[WARM:]) / len(batches[WARM:])
        flops = flops_per_token(own.llama.config, width / 2)
    speeds = {name: tokens / sum(found[WARM:]) for name, found in seconds.items()}
    best = peak(args.bf16)
    return {
        "shape": args.shape,
        "parameters, M": round(sum(p.numel() for p in own.llama.parameters()) / 1e6, 2),
        "bf16": args.bf16,
        "compile": args.compile,
        "learnt of all tokens": round(
            sum(int((b.labels != IGNORE).sum()) for b in batches[WARM:]) / tokens, 3
        ),
        "first loss": [round(ours, 4), round(theirs, 4)],
        "tokens/s": {name: round(speed) for name, speed in speeds.items()},
        "MFU": {name: round(speed * flops / best, 3) for name, speed in speeds.items()},
        "peak, GFLOP/s": round(best / 1e9, 1),
        "times as fast": round(speeds["llasa"] / speeds["transformers"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="nano")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = measure(args)
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads")
    for key, value in found.items():
        print(f"{key:24}{value}")
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
