"""Speed of training a language model: tokens a second, and the share of what its products allow.

    python benchmarks/train.py [--shapes nano 2x256] [--tokens 12288] [--steps 4] [--no-bf16]
        [--json out.json]

A shape is `nano` (that of recipes/nano/lm.yaml) or LAYERSxWIDTH. Rows are as long as sentences: 140
codes in the median, their phones and letters. "products" is how fast this machine multiplies
matrices of these sizes and does nothing else, forward and back; the share is of that. Time is CPU
time of this process, so that others on the machine disturb little; set OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import ShardMeta
from llasa.training.config import load_settings
from llasa.training.lm.settings import LMTraining
from llasa.training.lm.trainer import LMTrainer
from llasa.vocabulary.tokenizer import train_bpe
from llasa.vocabulary.vocabulary import Vocabulary

PHONES = [chr(ord("a") + number) for number in range(26)]
CODES = 4096
NANO = Path(__file__).parents[1] / "recipes" / "nano" / "lm.yaml"


@dataclass(frozen=True)
class Shape:
    """Sizes of a Llama."""

    layers: int
    width: int
    mlp: int
    heads: int
    groups: int

    @classmethod
    def parse(cls, name: str) -> Shape:
        """`nano` or LAYERSxWIDTH."""
        if name == "nano":
            sizes = yaml.safe_load(NANO.read_text())["model"]
            keys = ("num_hidden_layers", "hidden_size", "intermediate_size")
            heads = ("num_attention_heads", "num_key_value_heads")
            return cls(*(sizes[key] for key in (*keys, *heads)))
        layers, width = map(int, name.split("x"))
        return cls(layers, width, (8 * width // 3 + 31) // 32 * 32, max(1, width // 64), 1)

    def model(self) -> dict[str, Any]:
        """As settings."""
        return {
            "hidden_size": self.width,
            "intermediate_size": self.mlp,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.groups,
            "head_dim": 64,
            "tie_word_embeddings": True,
        }

    def products(self) -> list[tuple[int, int]]:
        """Inputs and outputs of the matrices of a layer."""
        inner, shared = self.heads * 64, self.groups * 64
        attention = [(self.width, inner), (self.width, shared), (self.width, shared)]
        mlp = [(self.width, self.mlp), (self.width, self.mlp), (self.mlp, self.width)]
        return [*attention, (inner, self.width), *mlp]


def write_data(folder: Path) -> None:
    """A vocabulary and token shards with rows as long as sentences."""
    vocabulary = Vocabulary.extend(train_bpe(["a b"], 257), CODES, phones=PHONES)
    vocabulary.save(folder / "vocabulary")
    meta, rng = ShardMeta("random", CODES, 50.0, 1), np.random.default_rng(0)
    meta.save(folder / "tokens")
    with ShardWriter(folder / "tokens", 0, meta) as writer:
        for _ in range(2000):
            codes = int(np.clip(rng.lognormal(np.log(140), 0.5), 40, 450))
            text = "".join(rng.choice(list("abcdefghij "), codes // 3)) + "."
            spoken = codes // 4
            names = rng.choice(PHONES, spoken)
            phones = [(str(n), (i + 1) * codes / spoken) for i, n in enumerate(names)]
            timing = [(0.0, 0.0), (1.0, float(codes))]
            writer.add(text, rng.integers(0, CODES, codes), "one", timing, phones)


def trainer(folder: Path, shape: Shape, tokens: int, bf16: bool) -> LMTrainer:
    """As the recipe trains, with compiled layers."""
    run = {"out": str(folder / "run"), "steps": 1000, "bf16": bf16, "compile": True}
    settings = {
        "vocabulary": str(folder / "vocabulary"),
        "run": run,
        "data": {"train": [str(folder / "tokens")], "tokens": tokens, "prompted": 0.35},
        "model": shape.model(),
        "full_vocabulary": False,
        "code_levels": [4] * 6,
        "alignment": {
            "weight": 1.0,
            "layer": min(2, shape.layers - 1),
            "offsets": [0.0, 1.0, 3.0][: shape.heads],
        },
        "optimizer": {"rate": 1e-3, "muon": True},
    }
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(settings))
    return LMTrainer(load_settings(LMTraining, path, []))


def product_seconds(shape: Shape, positions: int, bf16: bool) -> float:
    """CPU seconds of the layers' products of one step, forward and back, and nothing else."""
    kind = torch.bfloat16 if bf16 else torch.float32
    total = 0.0
    for inputs, outputs in shape.products():
        x = torch.randn(positions, inputs, dtype=kind)
        weight, grad = (
            torch.randn(outputs, inputs, dtype=kind),
            torch.randn(positions, outputs, dtype=kind),
        )

        def once(
            x: torch.Tensor = x, weight: torch.Tensor = weight, grad: torch.Tensor = grad
        ) -> None:
            torch.mm(x, weight.T)
            torch.mm(grad, weight)
            torch.mm(grad.T, x)

        once()
        began = time.process_time()
        for _ in range(3):
            once()
        total += (time.process_time() - began) / 3
    return total * shape.layers


def measure(name: str, tokens: int, steps: int, bf16: bool) -> dict[str, float | str]:
    """Figures of one shape."""
    shape = Shape.parse(name)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        write_data(folder)
        train = trainer(folder, shape, tokens, bf16)
        for _ in range(3):  # compiles
            train.step(train.batch(train.finished))
            train.finished += 1
        positions = codes = 0
        seconds = 0.0
        for _ in range(steps):
            batch = train.batch(train.finished)
            positions += sum(part.ids.numel() for part in batch)
            codes += sum(part.learnt() for part in batch)
            began = time.process_time()
            train.step(batch)
            seconds += time.process_time() - began
            train.finished += 1
        parameters = sum(p.numel() for p in train.llama.parameters())
    bare = product_seconds(shape, positions // steps, bf16)
    return {
        "shape": name,
        "parameters, M": round(parameters / 1e6, 2),
        "positions/s": round(positions / seconds),
        "targets/s": round(codes / seconds),
        "GFLOP/s": round(6 * parameters * positions / seconds / 1e9, 1),
        "products alone, positions/s": round(positions / steps / bare),
        "share": round(bare * steps / seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", default=["nano"])
    parser.add_argument("--tokens", type=int, default=12288)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = [measure(name, args.tokens, args.steps, args.bf16) for name in args.shapes]
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads")
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    if args.json is not None:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
