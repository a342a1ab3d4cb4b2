"""``llasa finetune``: from clips or tokens to a model that knows the new voice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from llasa.base.jsonl import render
from llasa.lm.checkpoint import load_llama
from llasa.lm.lora import ADAPTER_CONFIG
from llasa.models.find import find_model
from llasa.models.folder import ModelConfig, ReadingHeads
from llasa.models.voice import Voice
from llasa.text import PLAIN
from llasa.training.lm.trainer import LMTrainer
from tests.tiny_model import CODEC, tiny_codec, tone, write_tiny_model

from .conftest import Run

TEXTS = [f"The brown fox number {word}." for word in ("1", "two", "three", "four", "five")]
FAST = ("--judges", "length", "--steps", 2, "--limit", 2, "--own-speech", 0)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that does not clone, as nano, whose codec has speaker embeddings."""
    folder = tmp_path_factory.mktemp("told")
    settings = ModelConfig("told", cloning=False, form=PLAIN, languages=("en",))
    return write_tiny_model(folder, settings, config=replace(CODEC, speaker_size=8))


def clips(folder: Path, **more: str) -> Path:
    """Some recordings and their manifest."""
    folder.mkdir()
    rows = []
    for number, text in enumerate(TEXTS):
        tone(1 + number / 10).write(folder / f"{number}.wav")
        (folder / f"{number}.txt").write_text(text)
        rows.append({"audio": f"{number}.wav", "text": text, **more})
    (folder / "all.jsonl").write_bytes(b"".join(map(render, rows)))
    return folder


def test_a_folder_of_clips_becomes_a_voice(run: Run, told: Path) -> None:
    data = clips(Path("clips"))
    command = ("finetune", data, "--from", told, "-o", "mine", "--voice", "bob", *FAST)
    result = run(*command, "--own-speech", 0.5, "--json")
    assert result.code == 0, result.err
    summary = json.loads(result.out)
    scores = summary["scores"]["all"]
    assert list(scores) == ["recording", "resynthesis", "before", "after"]
    assert scores["before"]["loss"]["value"] > scores["after"]["loss"]["value"] > 0
    assert scores["after"]["score length"]["utterances"] == 1  # of five texts one is held out
    assert "minutes a voice" in result.err
    model = find_model("mine")
    assert model.settings.default_voice == "bob"
    assert "| loss |" in model.card()
    voice = Voice.load("mine/voices/bob.safetensors")
    assert voice.speaker == "bob"
    assert voice.speaker_embedding is not None
    assert Path("mine/voices/ann.safetensors").exists()  # the base's own
    train = [json.loads(line) for line in Path("mine-run/train.jsonl").read_bytes().splitlines()]
    assert len(train) == 4
    assert {row["text"] for row in train} < {t.replace("1", "one") for t in TEXTS}  # as it reads
    assert run("say", "A fox.", "--model", "mine", "--voice", "bob", "-o", "fox.wav").code == 0


def test_reading_heads_are_kept_by_the_loss_that_taught_them(run: Run, tmp_path: Path) -> None:
    heads = ReadingHeads(1, (0.0, 2.0))
    settings = ModelConfig("read", cloning=False, languages=("en",), alignment=heads)
    base = write_tiny_model(tmp_path / "base", settings, config=replace(CODEC, speaker_size=8))
    data = clips(Path("clips"), speaker="bob")
    assert run("finetune", data / "all.jsonl", "--from", base, "-o", "mine", *FAST).code == 0
    assert find_model("mine").settings.alignment == heads
    taught = yaml.safe_load(Path("mine-run/lm/settings.yaml").read_text())["alignment"]
    assert (taught["layer"], taught["offsets"]) == (1, [0.0, 2.0])
    assert taught["weight"] == 1
    assert taught["width"] == 4  # these clips do not tell when their letters are spoken
    assert '"alignment": ' in Path("mine-run/lm/log.jsonl").read_text()


@pytest.mark.slow
def test_it_goes_on_where_it_was_stopped(
    run: Run, told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = clips(Path("clips"), speaker="bob")
    command = ("finetune", data / "all.jsonl", "--from", told, "-o", "mine", *FAST)

    def stop(self: LMTrainer) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LMTrainer, "train", stop)
        assert run(*command).code == 130
    assert not Path("mine").exists()
    assert "with other settings (rate: 'None', now '0.1')" in run(*command, "--rate", 0.1).error
    manifest = (data / "all.jsonl").read_bytes()
    (data / "all.jsonl").write_bytes(manifest * 2)
    assert "with other settings (files: " in run(*command).error
    (data / "all.jsonl").write_bytes(manifest)
    assert run(*command).code == 0
    assert find_model("mine").settings.default_voice == "bob"


@pytest.mark.slow
@pytest.mark.parametrize("merge", [True, False])
def test_lora_from_tokens(run: Run, told: Path, merge: bool) -> None:
    """Of two speakers; merged or not, the model is the same."""
    rows = [
        {"audio": f"{n}.wav", "text": text, "speaker": "bob" if n % 2 else "eve"}
        for n, text in enumerate(TEXTS)
    ]
    clips(Path("clips"))
    Path("clips/two.jsonl").write_bytes(b"".join(map(render, rows)))
    assert run("tokenize", "clips/two.jsonl", "-o", "tokens", "--model", told).code == 0
    command = ("finetune", "tokens", "--from", told, "-o", "mine", "--method", "lora", *FAST)
    result = run(*command, "--rate", 0.1, *([] if merge else ["--no-merge"]))
    assert result.code == 0, result.err
    assert Path("mine/lm", ADAPTER_CONFIG).exists() is not merge
    mine, base = (load_llama(find_model(name).lm).state_dict() for name in ("mine", told))
    changed = {name for name in mine if not torch.equal(mine[name], base[name])}
    assert changed == {f"model.layers.{n}.self_attn.{p}_proj.weight" for n in (0, 1) for p in "qv"}
    trained = load_llama(next(Path("mine-run/lm").glob("step-*"))).state_dict()
    for name, weight in mine.items():
        np.testing.assert_allclose(weight, trained[name], atol=2e-3)
    assert run("say", "A fox.", "--model", "mine", "--voice", "eve", "-o", "fox.wav").code == 0


@pytest.mark.slow
def test_letters_of_a_new_language_are_kept(run: Run, told: Path) -> None:
    data = clips(Path("clips"), language="de", speaker="bob")
    rows = [json.loads(line) for line in (data / "all.jsonl").read_bytes().splitlines()]
    for row in rows:
        row["text"] = f"Löwen hören Größeres: {row['text'][-6:]}"
    (data / "all.jsonl").write_bytes(b"".join(map(render, rows)))
    command = ("finetune", data / "all.jsonl", "--from", told, "-o", "mine", "--steps", 1)
    assert run(*command, "--no-report", "--own-speech", 0).code == 0
    settings = find_model("mine").settings
    assert settings.languages == ("en", "de")
    assert set(settings.form.alphabet) - set(PLAIN.alphabet) == {"ö"}  # ß is too rare
    assert "Löwen hören Grösseres" in Path("mine-run/train.jsonl").read_text()


@pytest.mark.slow
def test_check_only(run: Run, told: Path) -> None:
    data = clips(Path("clips"))
    command = ("finetune", data, "--from", told, "-o", "mine", "--voice", "bob", *FAST)
    result = run(*command, "--check-only")
    assert result.code == 0, result.err
    assert "| resynthesis |" in result.err.replace("before", "|")
    assert not Path("mine").exists()
    assert not Path("mine-run/lm").exists()


def test_refusals(run: Run, told: Path) -> None:
    tiny_codec(seed=1).save("other")
    data, here = clips(Path("clips")), ("-o", "mine", "--from", told, *FAST)
    assert "none does not exist" in run("finetune", "none", *here).error
    for flags, reason in (
        ((), "does not name its speaker"),
        (("--no-merge",), "Only the adapter of method lora"),
        (("--voice", "ann"), "has a voice ann already"),
        (("--voice", "a/b"), "is not a valid voice name"),
        (("--clip", "one.wav"), "name the voice, too"),
        (("--rank", 0), "lora.rank is 0"),
    ):
        result = run("finetune", data, *here, *flags)
        assert (result.code, result.out) == (2, b"")
        assert reason in result.err
        shutil.rmtree("mine-run", ignore_errors=True)
    assert "there is no judge" in run("finetune", data, *here, "--check-only", "--no-report").error
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("precious")
    assert "is not a model folder" in run("finetune", data, *here, "--voice", "bob").error
    shutil.rmtree("mine")
    assert run("tokenize", data / "all.jsonl", "-o", "tokens", "--codec", "other").code == 0
    assert "holds codes of" in run("finetune", "tokens", *here, "--voice", "bob").error
    assert not Path("mine").exists()
