"""Tiny runs: synthetic clips, token shards and settings that take milliseconds a step."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llasa.audio.audio import Audio
from llasa.data.manifest import Utterance, write_manifest
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import ShardMeta
from llasa.training.checkpoint import checkpoints, load_state
from llasa.training.codec.settings import CodecTraining
from llasa.training.config import build
from llasa.training.lm.settings import LMTraining
from llasa.training.log import Values
from llasa.training.trainer import Trainer
from llasa.vocabulary.vocabulary import Vocabulary

RATE = 16_000
CODES = 64
SIZES = {
    "encoder_channels": 4,
    "strides": [8, 8, 5],
    "dilations": [1],
    "acoustic_size": 16,
    "semantic": {"kind": "conv", "layers": 1, "size": 16, "mlp_size": 16, "heads": 1},
    "levels": [4, 4, 4],
    "decoder_size": 32,
    "decoder_layers": 1,
    "decoder_heads": 2,
    "decoder_mlp_size": 32,
    "norm_groups": 4,
    "time_rotary": True,
}
CRITICS = {
    "periods": [2, 3],
    "period_channels": 2,
    "period_max_channels": 8,
    "ffts": [78, 126],
    "spectral_channels": 2,
}
LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "tie_word_embeddings": True,
    "max_position_embeddings": 512,
}
WORDS = "the quick brown fox jumps over the lazy dog and then it runs".split()  # noqa: SIM905


def vowel(seconds: float, pitch: float, rate: int = RATE) -> Audio:
    """Harmonics that fade with their number, in syllables of a fifth of a second."""
    time = np.arange(int(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 9))
    loudness = np.sin(np.pi * 2.5 * time) ** 2
    return Audio((0.2 * tones * loudness).astype(np.float32), rate)


def write_clips(folder: Path, count: int = 3) -> Path:
    """Clips of 0.6 s and more with their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        vowel(0.6 + number / 10, 110 + 30 * number).write(folder / f"{number}.wav")
    manifest = folder / "clips.jsonl"
    phones = (("a", 0.3), ("b", 9.0))
    write_manifest(
        manifest,
        (Utterance(folder / f"{n}.wav", f"fox {n}", phones=phones) for n in range(count)),
    )
    return manifest


IN_ONE, IN_TWO = 1000, 350
"""`data.tokens` with which the rows of `write_tokens` make one batch, or two unequal ones."""


def write_tokens(folder: Path, count: int = 12, codes: int = CODES, shortest: int = 5) -> Path:
    """Utterances of growing length; the codes spell the text, so there is something to learn."""
    meta = ShardMeta("spelling", codes, 50.0, 1)
    meta.save(folder)
    rng = np.random.default_rng(0)
    with ShardWriter(folder, 0, meta) as writer:
        for number in range(count):
            text = " ".join(rng.choice(WORDS, 1 + number % 4))
            spelt = np.repeat([ord(letter) % codes for letter in text], 2)
            spelt = spelt[: shortest + 3 * number]
            phones = [(letter, 2 * place + 2) for place, letter in enumerate(text)]
            writer.add(text, spelt, phones=phones[: -(-len(spelt) // 2)])
    return folder


def write_pairs(path: Path, texts: Sequence[str]) -> Path:
    """Of each text a take that spells it and one that repeats a letter."""
    lines = []
    for text in texts:
        spelt = [ord(letter) % CODES for letter in text]
        lines.append({"text": text, "chosen": spelt, "rejected": [spelt[0]] * (len(text) + 3)})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def codec_settings(manifest: Path, out: Path, **changes: Any) -> CodecTraining:
    """A codec of some thousand parameters with every loss from step 3 on, and an average."""
    values: dict[str, Any] = {
        "run": {"out": str(out), "steps": 6, "log_every": 1, "save_every": 2, "keep": 0},
        "data": {
            "train": [{"manifest": str(manifest)}],
            "phones": ["a", "b"],
            "seconds": 0.3,
            "batch": 2,
        },
        "codec": SIZES,
        "loss": {
            "mel_windows": [256, 1024],
            "mel_bins": [20, 80],
            "adversarial_from": 2,
            "phones": 2.0,
        },
        "discriminator": CRITICS,
        "schedule": {"kind": "wsd", "warmup": 2},
        "optimizer": {"rate": 1e-3},
        "ema": 0.9,
    }
    return build(CodecTraining, merge(values, changes))


def lm_settings(vocabulary: Path, tokens: Path, out: Path, **changes: Any) -> LMTraining:
    """A Llama of some thousand parameters."""
    values: dict[str, Any] = {
        "vocabulary": str(vocabulary),
        "run": {"out": str(out), "steps": 6, "log_every": 1, "save_every": 2, "keep": 0},
        "data": {"train": [str(tokens)], "tokens": 150, "max_tokens": 256},
        "model": LLAMA,
        "schedule": {"kind": "wsd", "warmup": 2},
        "optimizer": {"rate": 3e-3},
    }
    return build(LMTraining, merge(values, changes))


def merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Nested update."""
    merged = dict(values)
    for key, value in changes.items():
        inner = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if inner else value
    return merged


def save_vocabulary(vocabulary: Vocabulary, folder: Path) -> Path:
    vocabulary.save(folder)
    return folder


def records(out: str | Path) -> list[dict[str, float]]:
    """The log of a run."""
    return [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]


def losses(out: str | Path) -> dict[int, dict[str, float]]:
    """Training records by step, without what depends on the clock."""
    clock = ("step", "seconds_per_step", "tokens_per_second")
    return {
        int(record["step"]): {k: v for k, v in record.items() if k not in clock}
        for record in records(out)
        if "loss" in record
    }


def rewound(whole: Path, out: Path, step: int) -> Path:
    """A copy of a run's folder as a kill soon after the checkpoint of ``step`` leaves it."""
    shutil.copytree(whole, out)
    for number, folder in checkpoints(out):
        if number > step:
            shutil.rmtree(folder)
    return out


def batch_threads() -> list[str]:
    """Names of the threads that make batches."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("batches")]


def interrupt_and_resume(make: Callable[[], Trainer[Any]], whole: Path) -> None:
    """Ctrl-C in the third step: it is finished and saved, and the run can end as `whole` did."""
    trainer = make()
    step, out = trainer.step, Path(trainer.settings.run.out)

    def interrupted(batch: Any) -> Values:
        if trainer.finished == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(batch)

    trainer.step = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert [number for number, _ in checkpoints(out)] == [3]
    assert batch_threads() == []
    make().train()
    same_end(out, whole)


def same_end(out: Path, whole: Path) -> None:
    """Equal losses at every step, and an equal checkpoint at the last, bit for bit."""
    assert losses(out) == losses(whole)
    (step, one), (other_step, other) = (checkpoints(run)[-1] for run in (out, whole))
    assert step == other_step
    assert_equal(load_state(one), load_state(other))


def assert_equal(one: Any, other: Any) -> None:
    """Equal nested dictionaries and lists of tensors and plain values."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert_equal(value, other[key])
    elif isinstance(one, list | tuple):  # a resumed optimizer has lists for tuples
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    else:
        assert one == other
