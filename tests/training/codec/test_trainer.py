"""Codec trainer: it learns real clips, and a run that was killed goes on as if it had not been."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import llasa
from llasa.audio.audio import INT16_SCALE, Audio, read_audio, to_int16
from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import make_folder, only_writer
from llasa.codec.codec import Codec
from llasa.codec.config import CodecConfig
from llasa.codec.features import semantic_features
from llasa.codec.model import CodecModel
from llasa.data.manifest import Utterance, read_manifest, write_manifest
from llasa.training.checkpoint import checkpoints, load_state
from llasa.training.codec.setup import add_weight_norm, save_codec
from llasa.training.codec.trainer import CodecTrainer, train_codec

from ..tools import (
    CRITICS,
    RATE,
    SIZES,
    codec_settings,
    interrupt_and_resume,
    losses,
    merge,
    records,
    rewound,
    same_end,
    vowel,
    write_clips,
)

pytestmark = pytest.mark.slow

STEPS = 6


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    """Folder of a run that was never interrupted; the discriminators join at step 3 of 6."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train_codec(codec_settings(clips, out))
    return out


def test_log_of_a_run(whole: Path) -> None:
    log = losses(whole)
    assert list(log) == list(range(1, STEPS + 1))
    always = {"loss", "mel", "semantic", "phones", "grad_norm", "code_use", "rate"}
    game = {"discriminator", "critic_grad_norm", "adversarial", "matching"}
    assert log[2].keys() == always
    assert log[3].keys() == always | game
    assert [log[step]["rate"] for step in (1, 2, 6)] == [5e-4, 1e-3, 1e-3]
    total = 15 * log[6]["mel"] + log[6]["adversarial"] + log[6]["matching"]
    total += 5 * log[6]["semantic"] + 2 * log[6]["phones"]
    assert log[6]["loss"] == pytest.approx(total, rel=1e-5)
    assert log[6]["phones"] < log[1]["phones"]
    assert log[1]["code_use"] > 0.3  # of the codes that the batch could use


def test_discriminators_have_a_rate_of_their_own(clips: Path, tmp_path: Path) -> None:
    critics = {**CRITICS, "log": True, "rate": 5e-3}
    trainer = CodecTrainer(codec_settings(clips, tmp_path / "run", discriminator=critics))
    for _ in range(3):
        trainer.step(trainer.batch(trainer.finished))
        trainer.finished += 1
    generator, critic = (one.param_groups[0]["lr"] for one in trainer.optimizers)
    assert (generator, critic) == pytest.approx((1e-3, 5e-3))


@pytest.mark.parametrize("at", [2, 4])
def test_resumed_run_equals_the_whole_one(
    tmp_path: Path, clips: Path, whole: Path, at: int
) -> None:
    """Before and after the discriminators joined; average and weight norm included."""
    out = rewound(whole, tmp_path / "run", at)
    train_codec(codec_settings(clips, out))
    same_end(out, whole)


def test_discriminators_of_another_run(tmp_path: Path, clips: Path, whole: Path) -> None:
    """A run that begins later with all that another learnt, but for its optimizers."""
    folder = checkpoints(whole)[1][1]
    weights = load_state(folder)["discriminators"]
    file = tmp_path / "discriminators.safetensors"
    save_file({name: weight.half() for name, weight in weights.items()}, file)
    init = {"init": str(folder), "discriminator_weights": str(file)}
    changes: dict[str, Any] = {**init, "run": {"begin": 4}, "weight_norm": False}
    trainer = CodecTrainer(codec_settings(clips, tmp_path / "run", **changes))
    found = trainer.objective.discriminators.state_dict()
    for name, weight in weights.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=1e-6)
    trainer.train()
    assert list(losses(tmp_path / "run")) == [5, 6]
    changes["discriminator"] = {"periods": [2]}
    with pytest.raises(LlasaError, match="discriminator_weights .* does not fit"):
        CodecTrainer(codec_settings(clips, tmp_path / "other", **changes))


def test_sigkill(tmp_path: Path, clips: Path, whole: Path) -> None:
    """A real process that dies at an arbitrary moment."""
    out = tmp_path / "run"
    settings = whole / "settings.yaml"
    source = Path(llasa.__file__).parents[1]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "llasa", "train", "codec", settings),
            *(f"run.out={out}", "run.steps=100000"),
        ],
        env={**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    )
    try:
        end = time.monotonic() + 120
        while not checkpoints(out) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        process.kill()
        _, error = process.communicate()
    assert process.returncode == -signal.SIGKILL, error.decode()
    for step, folder in checkpoints(out):  # what it did after step 2 is lost
        if step > 2:
            shutil.rmtree(folder)
    train_codec(codec_settings(clips, out))
    same_end(out, whole)


def test_ctrl_c_ends_the_step_and_saves(tmp_path: Path, clips: Path, whole: Path) -> None:
    settings = codec_settings(clips, tmp_path, run={"save_every": 100})
    interrupt_and_resume(lambda: CodecTrainer(settings), whole)


def test_checkpoint_is_a_plain_codec_of_averaged_weights(
    tmp_path: Path, clips: Path, whole: Path
) -> None:
    folder = checkpoints(whole)[-1][1]
    with safe_open(folder / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert names == CodecModel(CodecConfig.from_dict(SIZES)).state_dict().keys()
    trainer = CodecTrainer(codec_settings(clips, whole))
    assert trainer.finished == STEPS
    assert any("parametrizations" in name for name in trainer.model.state_dict())
    audio = torch.from_numpy(vowel(0.3, 120).samples)[None]
    codec = Codec.load(folder, "cpu").model
    with torch.no_grad():
        assert trainer.average is not None
        torch.testing.assert_close(codec.latents(audio), trainer.average.latents(audio))
        assert not torch.allclose(codec.latents(audio), trainer.model.latents(audio), atol=1e-4)


def test_weight_norm_changes_nothing_but_the_parameters(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = CodecModel(CodecConfig.from_dict(SIZES))
    audio = torch.from_numpy(vowel(0.3, 120).samples)[None]
    with torch.no_grad():
        before = model.latents(audio)
        add_weight_norm(model.acoustic)
        torch.testing.assert_close(model.latents(audio), before)
        save_codec(model, tmp_path)
        torch.testing.assert_close(Codec.load(tmp_path, "cpu").model.latents(audio), before)
        torch.testing.assert_close(model.latents(audio), before)  # goes on as it was
    lengths = [name for name, _ in model.named_parameters() if name.endswith("original0")]
    convolutions = [m for m in model.acoustic.modules() if isinstance(m, torch.nn.Conv1d)]
    assert len(lengths) == len(convolutions) == 11


def test_average_is_a_moving_one(tmp_path: Path, clips: Path) -> None:
    trainer = CodecTrainer(codec_settings(clips, tmp_path, ema=0.15))
    assert trainer.average is not None
    means, now = (
        trainer.average.decoder.head.linear.weight,
        trainer.model.decoder.head.linear.weight,
    )
    expected = means.clone()
    for step in range(3):
        trainer.step(trainer.batch(step))
        trainer.finished += 1
        decay = min(0.15, (step + 1) / (step + 10))
        expected = decay * expected + (1 - decay) * now.detach()
    torch.testing.assert_close(means, expected)


def test_frozen_encoder(tmp_path: Path, clips: Path, whole: Path) -> None:
    """From a finished codec: the codes stay, the decoder learns."""
    init = checkpoints(whole)[-1][1]
    settings = codec_settings(
        clips, tmp_path, init=str(init), freeze_encoder=True, run={"steps": 3}
    )
    train_codec(settings)
    before, after = Codec.load(init, "cpu"), Codec.load(checkpoints(tmp_path)[-1][1], "cpu")
    audio = vowel(1.0, 130).samples
    assert np.array_equal(before.encode([audio])[0], after.encode([audio])[0])
    assert not torch.equal(before.model.decoder.fuse.weight, after.model.decoder.fuse.weight)


def test_a_new_head(tmp_path: Path, clips: Path, whole: Path) -> None:
    """The decoder of a finished codec learns to say pitch, harmonics and noise; a run resumes."""
    init = checkpoints(whole)[-1][1]
    wanted = {"adversarial": 0.0, "phones": 0.0}
    changes: dict[str, Any] = {
        **{"init": str(init), "freeze_encoder": True},
        "codec": {"decoder_head": "harmonic"},
    }
    settings = codec_settings(clips, tmp_path / "one", **changes, loss=wanted)
    train_codec(settings)
    log = losses(tmp_path / "one")
    assert log[6]["pitch"] < log[1]["pitch"]
    total = 15 * log[6]["mel"] + 5 * log[6]["semantic"] + 5 * log[6]["pitch"]
    assert log[6]["loss"] == pytest.approx(total, rel=1e-5)
    before, after = Codec.load(init, "cpu"), Codec.load(checkpoints(tmp_path / "one")[-1][1], "cpu")
    assert after.model.config == replace(before.model.config, decoder_head="harmonic")
    audio = vowel(1.0, 130).samples
    assert np.array_equal(before.encode([audio])[0], after.encode([audio])[0])
    out = rewound(tmp_path / "one", tmp_path / "two", 2)
    train_codec(codec_settings(clips, out, **changes, loss=wanted))
    same_end(out, tmp_path / "one")


@pytest.mark.parametrize(
    ("changes", "always"),
    [
        ({"codec": {"output_rate": 24_000}}, {"mel", "semantic", "phones"}),
        (
            {"codec": {"output_rate": 24_000, "decoder_head": "harmonic"}, "freeze_encoder": True},
            {"mel", "pitch", "phones"},
        ),
        (
            {
                **{"codec": {"output_rate": 24_000, "speaker_size": 8}, "freeze_encoder": True},
                **{"data": {"perturb": 0.2}, "loss": {"voice": 1.0, "mel": 1.0}},
            },
            {"mel", "semantic", "phones", "voice", "voice_semantic"},
        ),
    ],
    ids=["all", "head", "voices"],
)
def test_a_decoder_learns_to_speak_at_another_rate(
    tmp_path: Path, clips: Path, whole: Path, changes: dict[str, Any], always: set[str]
) -> None:
    """From a finished codec, discriminators included; it is validated, and a run resumes."""
    init = checkpoints(whole)[-1][1]
    loss = {"perceptual": 2.0, "semantic": 5.0 * ("semantic" in always), "adversarial_from": 1}
    quick = {"run": {"steps": 3, "save_every": 1, "eval_every": 3}, "init": str(init)}
    merged = merge({"loss": loss, "data": {"valid": str(clips)}, **quick}, changes)
    train_codec(codec_settings(clips, tmp_path / "one", **merged))
    log = losses(tmp_path / "one")
    assert always | {"perceptual", "discriminator", "matching"} <= log[3].keys()
    folder = checkpoints(tmp_path / "one")[-1][1]
    before, after = Codec.load(init, "cpu"), Codec.load(folder, "cpu")
    assert after.model.config == replace(before.model.config, **changes["codec"])
    (codes,) = after.encode([vowel(1.0, 130)], pad="none")
    assert len(after.decode([codes])[0]) == 24_000
    valid = next(record for record in records(tmp_path / "one") if "valid/mel" in record)
    assert valid["valid/mel"] > 0
    heard = read_audio(next((tmp_path / "one" / "samples").glob("*-0-decoded.flac")))
    assert heard.rate == 24_000
    out = rewound(tmp_path / "one", tmp_path / "two", 1)
    train_codec(codec_settings(clips, out, **merged))
    same_end(out, tmp_path / "one")


def test_the_perceptual_loss_may_come_last(tmp_path: Path, clips: Path) -> None:
    """The paper's last stage, in one run: it changes nothing before its step."""
    quick = {"run": {"steps": 3}, "loss": {"perceptual": 2.0, "perceptual_from": 2}}
    train_codec(codec_settings(clips, tmp_path / "late", **quick))
    train_codec(codec_settings(clips, tmp_path / "never", run={"steps": 3}))
    late, never = losses(tmp_path / "late"), losses(tmp_path / "never")
    assert ["perceptual" in late[step] for step in (1, 2, 3)] == [False, False, True]
    assert (late[1], late[2]) == (never[1], never[2])
    assert late[3]["mel"] == never[3]["mel"]
    assert late[3]["loss"] > never[3]["loss"]


def test_codes_of_a_frozen_encoder_are_those_of_the_clip(
    tmp_path: Path, clips: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made once for each clip, and what the decoder is given; perturbed they are made anew."""
    init = str(checkpoints(whole)[-1][1])
    settings = codec_settings(clips, tmp_path, init=init, freeze_encoder=True)
    trainer, codec = CodecTrainer(settings), Codec.load(init, "cpu")
    lengths: list[int] = []
    encode = trainer.model.encode

    def counted(waveform: torch.Tensor) -> torch.Tensor:
        lengths.append(waveform.shape[1])
        return encode(waveform)

    monkeypatch.setattr(trainer.model, "encode", counted)
    batches = [trainer.batch(step) for step in range(12)]
    assert len(lengths) == 3
    sounds = (read_audio(clip.path).samples for clip in read_manifest(clips))
    kept = [to_int16(sound).astype(np.float32) / INT16_SCALE for sound in sounds]
    expected = codec.encode(kept, pad="none")
    for batch in batches:
        assert batch.codes is not None
        for row in batch.codes.numpy():
            places = [np.lib.stride_tricks.sliding_window_view(c, len(row)) for c in expected]
            assert any((place == row).all(1).any() for place in places)
        encoded = trainer.objective.encode(batch, 0)
        assert encoded.latents is None
        assert torch.equal(encoded.codes, batch.codes)
        assert torch.equal(encoded.quantised, codec.model.quantizer.lookup(batch.codes))
    changes = {"codec": {"speaker_size": 8}, "data": {"perturb": 0.2}}
    other = codec_settings(clips, tmp_path / "b", init=init, freeze_encoder=True, **changes)
    assert CodecTrainer(other).batch(0).codes is None


def test_a_decoder_learns_to_be_told_of_the_voice(tmp_path: Path, clips: Path, whole: Path) -> None:
    """Of a finished codec, whose codes stay as they were; a run resumes."""
    init = checkpoints(whole)[-1][1]
    changes: dict[str, Any] = {
        **{"init": str(init), "freeze_encoder": True},
        **{"codec": {"speaker_size": 8}, "data": {"perturb": 0.2, "valid": str(clips)}},
        "loss": {"adversarial": 0.0, "phones": 0.0},
    }
    train_codec(codec_settings(clips, tmp_path / "one", **changes))
    before, after = Codec.load(init, "cpu"), Codec.load(checkpoints(tmp_path / "one")[-1][1], "cpu")
    assert after.model.config == replace(before.model.config, speaker_size=8)
    audio = vowel(1.0, 130)
    (codes,) = after.encode([audio])
    assert np.array_equal(before.encode([audio])[0], codes)
    embedding = after.speaker_embedding(audio)
    assert embedding is not None
    (plain,), (told,) = after.decode([codes]), after.decode([codes], embedding)
    assert np.abs(plain - told).max() > 1e-4  # it began with no difference
    out = rewound(tmp_path / "one", tmp_path / "two", 2)
    train_codec(codec_settings(clips, out, **changes))
    same_end(out, tmp_path / "one")


def test_perturbing_without_embeddings_is_refused(tmp_path: Path, clips: Path) -> None:
    with pytest.raises(LlasaError, match=r"set codec\.speaker_size, or leave data\.perturb at 0"):
        CodecTrainer(codec_settings(clips, tmp_path, data={"perturb": 0.2}))


def overfit(
    sounds: list[Audio], folder: Path, valid: Path | None = None, head: str = "istft"
) -> Path:
    """Learn four clips of 0.3 s by heart, without the game; the run's folder."""
    paths = [folder / f"{number}.wav" for number in range(4)]
    for path, sound in zip(paths, sounds, strict=True):
        sound.write(path)
    manifest, out = folder / "clips.jsonl", folder / "run"
    write_manifest(manifest, [Utterance(path) for path in paths])
    settings = codec_settings(
        manifest,
        out,
        run={"steps": 60, "save_every": 100, "eval_every": 100},
        data={"batch": 3, "valid": valid and str(valid)},
        codec={
            **{"decoder_size": 64, "decoder_mlp_size": 128, "acoustic_size": 32, "dropout": 0.0},
            "decoder_head": head,
        },
        loss={"adversarial": 0.0, "spread": 1.0},
        optimizer={"rate": 5e-3, "betas": [0.8, 0.95]},
        schedule={"kind": "cosine", "warmup": 5},
        weight_norm=False,
        ema=0.0,
    )
    train_codec(settings)
    log = losses(out)
    for name in ("mel", "semantic"):  # batches differ, so eight at each end
        first, last = (sum(log[step][name] for step in s) for s in (range(1, 9), range(53, 61)))
        assert last < 0.6 * first
    return out


def test_overfits_real_clips(tmp_path: Path, speech_data: Path) -> None:
    """The falling losses are in `overfit`; scores and samples of the evaluation here."""
    sounds = []
    for utterance in read_manifest(speech_data / "librispeech.jsonl")[:4]:
        sound = read_audio(utterance.path).mono().resample(RATE)
        sounds.append(replace(sound, samples=sound.samples[RATE : RATE + 4800]))
    replace(sound, samples=sound.samples[: 2 * RATE]).write(tmp_path / "valid.wav")
    write_manifest(tmp_path / "valid.jsonl", [Utterance(tmp_path / "valid.wav")])
    out = overfit(sounds, tmp_path, tmp_path / "valid.jsonl")
    valid = next(record for record in records(out) if "valid/mel" in record)
    assert valid["valid/mel"] < 2
    assert 16 < valid["valid/codes_seen"] <= 64
    assert 0.1 < valid.get("valid/stoi", 0.5) < 1
    assert 1 < valid.get("valid/pesq", 2.0) < 4.65
    samples = sorted(path.name for path in (out / "samples").iterdir())
    assert samples == ["00000060-0-decoded.flac", "00000060-0-original.flac"]


@pytest.mark.parametrize("head", ["istft", "harmonic"])
def test_overfits_synthetic_clips(tmp_path: Path, head: str) -> None:
    out = overfit([vowel(0.3, pitch) for pitch in (100, 130, 170, 220)], tmp_path, head=head)
    log = losses(out)
    assert head == "istft" or log[60]["pitch"] < 0.85 * log[1]["pitch"]


def test_divergence_keeps_the_good_checkpoint(tmp_path: Path, clips: Path) -> None:
    train_codec(codec_settings(clips, tmp_path, run={"steps": 2}))
    wild = codec_settings(clips, tmp_path, optimizer={"rate": 1e20}, run={"log_every": 50})
    with pytest.raises(LlasaError, match=r"diverged: .* near step 3\. .*lower optimizer\.rate"):
        train_codec(wild)
    assert [step for step, _ in checkpoints(tmp_path)] == [2]
    train_codec(codec_settings(clips, tmp_path, run={"steps": 3}))


def test_damaged_and_foreign_checkpoints(tmp_path: Path, clips: Path, whole: Path) -> None:
    shutil.copytree(checkpoints(whole)[-1][1], tmp_path / "step-00000006")
    with pytest.raises(LlasaError, match="does not fit these settings .* another run.out") as found:
        CodecTrainer(codec_settings(clips, tmp_path, weight_norm=False))
    assert "\n" not in str(found.value)
    with pytest.raises(LlasaError, match="does not fit these settings"):
        CodecTrainer(codec_settings(clips, tmp_path, codec={"acoustic_size": 8}))
    state = tmp_path / "step-00000006" / "trainer.pt"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(LlasaError, match="step-00000006 is damaged"):
        CodecTrainer(codec_settings(clips, tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codec": {"sizes": 3}}, "unknown codec setting 'sizes'"),
        ({"codec": {"semantic": {"kind": "owl"}}}, "'owl' is unknown"),
        ({"init": "nowhere"}, "nowhere does not exist"),
        ({"codec": {"decoder_head": "organ"}}, "decoder_head 'organ' is unknown"),
        ({"semantic_weights": "nowhere"}, "semantic_weights nowhere cannot be loaded"),
        ({"data": {"seconds": 0.06}}, "more than 1024, the longest window"),
        ({"data": {"valid": "none.jsonl"}}, r"none\.jsonl cannot be read"),
        ({"run": {"device": "vacuum"}}, r"run\.device vacuum cannot be used"),
    ],
)
def test_mistakes(tmp_path: Path, clips: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LlasaError, match=message) as found:
        CodecTrainer(codec_settings(clips, tmp_path, **changes))
    assert "\n" not in str(found.value)


def test_perceptual_loss_in_the_features_of_the_codec(tmp_path: Path, clips: Path) -> None:
    """Without another model; the decoder learns from it, the semantic encoder stays."""
    wanted = {"perceptual": 2.0, "mel": 0.0, "semantic": 0.0, "phones": 0.0, "adversarial": 0.0}
    settings = codec_settings(clips, tmp_path, loss=wanted, codec={"dropout": 0.0})
    trainer = CodecTrainer(settings)
    batch = trainer.batch(0)
    real = batch.samples
    with torch.no_grad():
        fake = trainer.model.decode(trainer.model.encode(real))
        heard = [trainer.model.semantic(semantic_features(audio)) for audio in (fake, real)]
    losses = trainer.step(batch)
    expected = (heard[0] - heard[1]).square().mean()
    torch.testing.assert_close(losses["perceptual"], expected)
    torch.testing.assert_close(losses["loss"], 2 * expected)
    for weight in (
        trainer.model.decoder.head.linear.weight,
        trainer.model.quantizer.project_in.weight,
    ):
        assert weight.grad is not None
        assert weight.grad.isfinite().all()
        assert weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in trainer.model.semantic.parameters())


def test_encoder_alone(tmp_path: Path, clips: Path) -> None:
    """Without a loss that listens the decoder rests and the codes are learnt."""
    quiet = {"mel": 0.0, "adversarial": 0.0}
    trainer = CodecTrainer(codec_settings(clips, tmp_path, loss=quiet))
    before = copy.deepcopy(trainer.model.state_dict())
    losses = trainer.step(trainer.batch(0))
    assert {"semantic", "phones"} < losses.keys()
    assert "mel" not in losses
    moved = {
        name for name, value in trainer.model.state_dict().items() if not value.equal(before[name])
    }
    assert "quantizer.project_in.weight" in moved
    assert not any(name.startswith("decoder.") for name in moved)


def test_sizes_that_contradict_the_codec_one_starts_from(
    tmp_path: Path, clips: Path, whole: Path
) -> None:
    init = str(checkpoints(whole)[-1][1])
    CodecTrainer(codec_settings(clips, tmp_path, init=init))  # the same sizes are fine
    with pytest.raises(LlasaError, match=r"codec\.acoustic_size is 8, but the codec in .* has 16"):
        CodecTrainer(codec_settings(clips, tmp_path, init=init, codec={"acoustic_size": 8}))


def test_semantic_weights_are_loaded_and_stay(tmp_path: Path, clips: Path) -> None:
    torch.manual_seed(7)
    semantic = CodecModel(CodecConfig.from_dict(SIZES)).semantic
    save_file(semantic.state_dict(), tmp_path / "semantic.safetensors")
    path = str(tmp_path / "semantic.safetensors")
    settings = codec_settings(clips, tmp_path / "run", semantic_weights=path, run={"steps": 2})
    train_codec(settings)
    trained = Codec.load(checkpoints(tmp_path / "run")[-1][1], "cpu").model.semantic
    torch.testing.assert_close(trained.state_dict(), semantic.state_dict(), rtol=0, atol=0)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(LlasaError, match="cannot be loaded"):
        CodecTrainer(settings)


def test_first_codes_are_spread(tmp_path: Path, clips: Path) -> None:
    trainer = CodecTrainer(codec_settings(clips, tmp_path, discriminator=CRITICS))
    batch = trainer.data.batch(0, 0, 1).samples
    with torch.no_grad():
        inputs = trainer.model.quantizer.project_in(trainer.model.latents(batch)).flatten(0, 1)
    torch.testing.assert_close(inputs.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(inputs.std(0), torch.ones(3), atol=1e-4, rtol=0)


def test_no_semantic_loss_without_its_weight(tmp_path: Path, clips: Path) -> None:
    loss = {"semantic": 0.0, "perceptual": 2.0, "perceptual_model": None}
    train_codec(codec_settings(clips, tmp_path / "run", loss=loss, run={"steps": 1}))
    (first,) = records(tmp_path / "run")
    assert "perceptual" in first
    assert "semantic" not in first


def test_clips_too_short_to_validate(tmp_path: Path, clips: Path) -> None:
    vowel(0.03, 150).write(tmp_path / "short.wav")
    write_manifest(tmp_path / "short.jsonl", [Utterance(tmp_path / "short.wav")])
    data = {"valid": str(tmp_path / "short.jsonl")}
    settings = codec_settings(clips, tmp_path / "run", data=data, run={"steps": 1})
    with pytest.raises(LlasaError, match=r"No clip of .*short\.jsonl is long enough"):
        train_codec(settings)


def test_a_clip_that_vanishes_does_not_end_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_clips(tmp_path / "clips")
    out, whole = tmp_path / "run", tmp_path / "whole"
    gone = tmp_path / "clips" / "1.wav"
    data = gone.read_bytes()
    gone.unlink()
    with pytest.raises(LlasaError, match=r"1\.wav, a recording of data\.train, cannot be used"):
        train_codec(codec_settings(manifest, out))
    gone.write_bytes(data)
    settings = codec_settings(manifest, out)
    settings.data.cache_hours = 0.0
    settings.run.steps = 2
    train_codec(settings)
    gone.unlink()
    for folder in (out, shutil.copytree(out, whole)):
        settings = codec_settings(manifest, folder)
        settings.data.cache_hours = 0.0
        train_codec(settings)
    assert list(losses(out)) == list(range(1, STEPS + 1))
    assert records(out)[-1]["skipped"] == 1
    (row,) = jsonl.read((out / "skipped.jsonl").read_bytes(), "skipped.jsonl")
    assert row[1] == {"audio": str(gone), "reason": "it is missing or empty"}
    assert "left out" in capsys.readouterr().err
    same_end(out, whole)


def test_two_trainers_on_one_folder(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trainer = CodecTrainer(codec_settings(clips, out))
    with (
        only_writer(make_folder(out)),
        pytest.raises(LlasaError, match="Another process is writing"),
    ):
        trainer.train()
