"""``llasa train`` and ``llasa pack``: settings reach the trainers, folders reach the model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import llasa
from llasa.audio import read_audio
from llasa.model_folder import find_model
from tiny_model import tiny_codec, tone

from .conftest import Run


def test_bad_settings(run: Run) -> None:
    Path("a.yaml").write_text("run: {steps: 3}\n")
    assert "invalid choice: 'vocoder'" in run("train", "vocoder", "a.yaml").error
    assert "required: CONFIG.yaml" in run("train", "codec").error
    assert "none.yaml cannot be read" in run("train", "codec", "none.yaml").error
    assert "neither a second settings file" in run("train", "codec", "a.yaml", "b.yaml").error
    assert "nearest valid: run.steps" in run("train", "codec", "a.yaml", "run.step=2").error
    assert "'vocabulary' is required" in run("train", "lm", "a.yaml").error


def test_from_clips_to_a_model(run: Run, tiny: Path, tmp_path: Path) -> None:
    """A few steps of both trainers, and the model that comes of them."""
    rows = []
    for number in range(4):
        tone(1.0 + number / 10).write(f"{number}.wav")
        rows.append(json.dumps({"audio": f"{number}.wav", "text": f"fox {number}", "seconds": 1}))
    Path("clips.jsonl").write_text("\n".join(rows))
    parts = tiny.parent / "parts"
    result = run(
        *("train", "codec", f"init={parts / 'codec'}", "run.out=codec", "run.steps=1"),
        *("data.train=[{manifest: clips.jsonl}]", "data.batch=2", "data.seconds=0.4"),
        *("loss.mel_windows=[256]", "loss.mel_bins=[20]"),
        *("discriminator.periods=[2]", "discriminator.ffts=[126]"),
    )
    assert result.code == 0, result.err
    codec = next((tmp_path / "codec").glob("step-*"))
    assert run("tokenize", "clips.jsonl", "-o", "tokens", "--codec", codec).code == 0
    Path("lm.yaml").write_text(
        f"vocabulary: {parts / 'lm'}\ninit: {parts / 'lm'}\n"
        "run: {out: lm, steps: 5}\ndata: {train: [tokens], tokens: 300}\n"
    )
    result = run("train", "lm", "lm.yaml", "run.steps=2")
    assert result.code == 0, result.err
    lm = tmp_path / "lm" / "step-00000002"
    flags = ["--temperature", 0.8, "--min-p", 0.1, "--repetition-penalty", 1.2, "--no-cloning"]
    result = run("pack", lm, codec, "-o", "model", *flags)
    assert result.code == 0, result.err
    tiny_codec(seed=1).save(tmp_path / "other")
    assert "but this codec is" in run("pack", lm, "other", "-o", "wrong").error
    assert "but this codec is" in run("say", "fox", "--model", "model", "--codec", "other").error
    settings = find_model(tmp_path / "model").settings
    assert settings.name == "model"
    assert settings.sampling == {"temperature": 0.8, "min_p": 0.1, "repetition_penalty": 1.2}
    assert not settings.cloning
    assert run("say", "fox", "--model", "model", "--max-seconds", 1).code == 0


def test_previews(run: Run, tiny: Path) -> None:
    parts = tiny.parent / "parts"
    ann = tiny / "voices" / "ann.safetensors"
    flags = ["--voice", ann, "--default-voice", "ann", "--preview", "The fox."]
    assert (
        run("pack", parts / "lm", parts / "codec", "-o", "model", "--no-quotes", *flags).code == 0
    )
    assert not find_model("model").settings.quotes
    said = llasa.load("model", device="cpu")("The fox.", voice="ann", seed=0).audio.samples
    heard = read_audio("model/voices/ann.opus").resample(16_000).samples
    assert abs(len(heard) - len(said)) < 1600
    assert np.corrcoef(heard[: len(said)], said[: len(heard)])[0, 1] > 0.5


def test_packing_refusals(run: Run, tiny: Path, tmp_path: Path) -> None:
    parts = tiny.parent / "parts"
    pack = ["pack", parts / "lm", parts / "codec", "-o"]
    Path("full").mkdir()
    Path("full/thesis.txt").write_text("precious")
    assert "exists and is no model folder" in run(*pack, "full").error
    assert "none.md does not exist" in run(*pack, "out", "--card", "none.md").error
    for flag, value, reason in (
        ("--temperature", -1, "temperature is -1.0"),
        ("--top-p", 2, "top_p is 2.0"),
        ("--min-p", 2, "min_p is 2.0"),
        ("--repetition-penalty", 0, "repetition_penalty is 0.0"),
        ("--repetition-window", -1, "repetition_window is -1"),
        ("--max-tokens", 0, "max_tokens cannot be 0"),
        ("--name", "", "'' is no valid model name"),
    ):
        assert reason in run(*pack, "out", flag, value).error
    assert "'ann' is not among the voices" in run(*pack, "out", "--default-voice", "ann").error
    assert (
        "tokenizer.json does not exist" in run("pack", "none", parts / "codec", "-o", "out").error
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]
