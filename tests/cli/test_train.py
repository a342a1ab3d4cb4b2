"""``llasa train`` and ``llasa pack``: settings reach the trainers, folders reach the model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import llasa
from llasa.audio.audio import read_audio
from llasa.codec.speaker import SpeakerEmbedding
from llasa.models.find import find_model
from llasa.models.folder import ModelConfig, ReadingHeads
from llasa.models.voice import Voice
from llasa.text import PLAIN
from tests.tiny_model import CODEC, tiny_codec, tiny_voice, tone, write_tiny_model

from .conftest import Run


def test_bad_settings(run: Run) -> None:
    Path("a.yaml").write_text("run: {steps: 3}\n")
    assert "invalid choice: 'vocoder'" in run("train", "vocoder", "a.yaml").error
    assert "required: CONFIG.yaml" in run("train", "codec").error
    assert "none.yaml cannot be read" in run("train", "codec", "none.yaml").error
    assert "neither a second settings file" in run("train", "codec", "a.yaml", "b.yaml").error
    assert "Did you mean run.steps?" in run("train", "codec", "a.yaml", "run.step=2").error
    assert "Setting vocabulary is required" in run("train", "lm", "a.yaml").error


def test_plan(run: Run) -> None:
    recipe = Path(__file__).parents[2] / "recipes" / "llasa-8b"
    known = ("--gpus", 64, "--hours", 250_000, "--mfu", 0.45)
    result = run("train", "plan", recipe, *known)
    assert result.code == 0, result.err
    assert b"parameters                        8.567 G" in result.out
    assert b"2.8 days" in result.out
    assert b"does not fit" not in result.out
    found = json.loads(run("train", "plan", recipe / "lm.yaml", "--json", *known).out)
    assert found["fits"]
    assert found["days"] == pytest.approx(2.83, abs=0.01)
    assert found["shard"] == 8
    small = run("train", "plan", recipe, "checkpointing=false", "--gpu", "rtx4090")
    assert small.code == 0
    assert b"It does not fit: use checkpointing" in small.out


@pytest.mark.slow
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
    assert "llasa data tokenize MANIFEST.jsonl -o tokens --codec codec/step-00000001" in result.err
    codec = next((tmp_path / "codec").glob("step-*"))
    assert run("tokenize", "clips.jsonl", "-o", "tokens", "--codec", codec).code == 0
    Path("lm.yaml").write_text(
        f"vocabulary: {parts / 'lm'}\ninit: {parts / 'lm'}\n"
        "run: {out: lm, steps: 5}\ndata: {train: [tokens], tokens: 300}\n"
    )
    result = run("train", "lm", "lm.yaml", "run.steps=2")
    assert result.code == 0, result.err
    assert "llasa pack lm/step-00000002 CODEC -o mine" in result.err
    assert 'llasa say "Hello." --model mine --play' in result.err
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


@pytest.mark.slow
def test_previews(run: Run, own_voices: Path) -> None:
    """Each speaks as itself, also where the user keeps a voice of the same name."""
    codec = tiny_codec(config=replace(CODEC, speaker_size=8))
    model = write_tiny_model(Path("made"), ModelConfig("made"), config=codec.model.config)
    ann, bob = tone(1.5), replace(tone(1.5), rate=24_000).resample(16_000)
    sounds = {"ann": ann, "bob": bob}
    voices = {k: Voice.from_audio(sound, "A fox.", codec, k) for k, sound in sounds.items()}
    for name, voice in voices.items():
        voice.save(f"{name}.safetensors")
    own_voices.mkdir(parents=True)
    voices["bob"].renamed("ann").save(own_voices / "ann.safetensors")
    parts = model.parent / "parts"
    pack = ["pack", parts / "lm", parts / "codec", "-o", "model", "--no-cloning", "--form", "plain"]
    pack += ["--alignment", "1", "0", "1.5"]
    both = ["--voice", "ann.safetensors", "--voice", "bob.safetensors"]
    assert "no voice was given" in run(*pack, "--preview", "The fox.").error
    assert "The text is empty" in run(*pack, *both, "--preview", "").error
    assert not Path("model").exists()
    assert run(*pack, *both, "--preview", "The fox.").code == 0
    settings = find_model("model").settings
    assert (settings.form, settings.alignment) == (PLAIN, ReadingHeads(1, (0, 1.5)))
    assert "alignment.layer is 0.5" in run(*pack, "--alignment", "0.5", "0").error
    tts = llasa.load("model", device="cpu")
    said = {name: tts("The fox.", voice=v, seed=0).audio.samples for name, v in voices.items()}
    for name, other in (("ann", "bob"), ("bob", "ann")):
        heard = read_audio(f"model/voices/{name}.opus").resample(16_000).samples
        heard = heard[: len(said[name])]
        own, strange = (np.corrcoef(heard, said[x][: len(heard)])[0, 1] for x in (name, other))
        assert own > strange


def test_packing_refuses_voices_that_the_model_would(run: Run, own_voices: Path) -> None:
    codec = tiny_codec(config=replace(CODEC, speaker_size=8))
    model = write_tiny_model(Path("made"), ModelConfig("made"), config=codec.model.config)
    replace(tiny_voice(codec), speaker_embedding=None).save("old.safetensors")
    parts = model.parent / "parts"
    result = run("pack", parts / "lm", parts / "codec", "-o", "out", "--voice", "old.safetensors")
    assert "was made with another codec: make it again" in result.error
    codec.save("told")
    tiny_codec().save("plain")
    tiny_voice(tiny_codec()).save("ann.safetensors")
    lm = parts / "lm"
    pack = ["pack", lm, "plain", "-o", "out", "--voice", "ann.safetensors"]
    assert "is a recording, but the model does not clone" in run(*pack, "--no-cloning").error
    twice = run(*pack, "--voice", "ann.safetensors")
    assert "Two of the voices are called ann" in twice.error
    short = SpeakerEmbedding(np.ones(5, np.float32), codec.speaker_encoder_id)
    replace(tiny_voice(codec), speaker_embedding=short).save("ann.safetensors")
    pack = ["pack", lm, "told", "-o", "out", "--voice", "ann.safetensors"]
    assert "was made with another codec" in run(*pack).error
    assert not Path("out").exists()


def test_packing_refusals(run: Run, tiny: Path, tmp_path: Path) -> None:
    parts = tiny.parent / "parts"
    pack = ["pack", parts / "lm", parts / "codec", "-o"]
    Path("full").mkdir()
    Path("full/thesis.txt").write_text("precious")
    assert "exists and is not a model folder" in run(*pack, "full").error
    assert "none.md does not exist" in run(*pack, "out", "--card", "none.md").error
    for flag, value, reason in (
        ("--temperature", -1, "temperature is -1.0"),
        ("--top-p", 2, "top_p is 2.0"),
        ("--min-p", 2, "min_p is 2.0"),
        ("--repetition-penalty", 0, "repetition_penalty is 0.0"),
        ("--repetition-window", -1, "repetition_window is -1"),
        ("--max-tokens", 0, "max_tokens cannot be 0"),
        ("--name", "", "'' is not a valid model name"),
    ):
        assert reason in run(*pack, "out", flag, value).error
    assert "'ann' is not among the voices" in run(*pack, "out", "--default-voice", "ann").error
    assert (
        "tokenizer.json does not exist" in run("pack", "none", parts / "codec", "-o", "out").error
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]
