"""``llasa encode`` and ``decode``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from llasa.audio.audio import read_audio
from llasa.codec.codec import Codec
from llasa.models.folder import ModelConfig
from tests.tiny_model import CODEC, tone, write_tiny_model

from .conftest import Run


@pytest.mark.parametrize("suffix", ["npy", "safetensors", "json"])
def test_there_and_back(run: Run, tiny: Path, recording: Path, suffix: str) -> None:
    result = run("encode", recording, "-o", f"a.{suffix}", "--model", tiny)
    assert (result.code, result.out) == (0, b"")
    assert result.err.startswith(f"a.{suffix}: 76 codes of 1.5 s of audio (")
    result = run("decode", f"a.{suffix}", "-o", "b.flac", "--codec", tiny / "codec")
    assert result.err == "b.flac: 1.5 s of audio\n"
    codec, sound = Codec.load(tiny / "codec", "cpu"), read_audio(recording)
    (samples,) = codec.decode(codec.encode([sound.samples], sound.rate))
    np.testing.assert_allclose(read_audio("b.flac").samples, samples.clip(-1, 1), atol=1e-4)


def test_default_names(run: Run, tiny: Path, recording: Path) -> None:
    assert run("encode", recording, "--model", tiny).code == 0
    assert run("decode", "recording.npy", "--model", tiny).code == 0
    assert read_audio("recording.wav").rate == 16_000


def test_in_a_voice(run: Run, tmp_path: Path, tiny: Path) -> None:
    config = replace(CODEC, speaker_size=8)
    model = write_tiny_model(tmp_path, ModelConfig("tiny", cloning=False), config=config)
    np.save("a.npy", np.arange(30))
    decode = ["decode", "a.npy", "--model", model, "-o"]
    assert run(*decode, "plain.wav").code == run(*decode, "ann.wav", "--voice", "ann").code == 0
    plain, ann = (read_audio(f"{name}.wav").samples for name in ("plain", "ann"))
    assert np.abs(plain - ann).max() > 0.01
    assert "Voice 'bob' is unknown" in run(*decode, "b.wav", "--voice", "bob").error
    assert (
        "name one that was made from a recording"
        in run(*decode, "b.wav", "--voice", "random").error
    )
    other = ["decode", "a.npy", "--model", tiny, "--voice", "ann"]
    assert "This codec has no speaker embeddings: leave the voice out" in run(*other).error


def test_codes_of_other_tools(run: Run, tiny: Path) -> None:
    np.save("a.npy", np.arange(10, dtype=np.int64).reshape(1, 1, 10))
    assert run("decode", "a.npy", "--model", tiny).code == 0


def test_bad_audio(run: Run, tiny: Path, tmp_path: Path) -> None:
    encode = ["encode", "--model", tiny]
    Path("empty.wav").write_bytes(b"")
    Path("noise.wav").write_bytes(b"RIFF nothing")
    tone(0.01).write("short.wav")
    assert "empty.wav is empty" in run(*encode, "empty.wav").error
    assert "noise.wav is not a readable audio file" in run(*encode, "noise.wav").error
    assert "is too short" in run(*encode, "short.wav").error
    assert "none.wav does not exist" in run(*encode, "none.wav").error
    assert "a.txt is not a file of codes: end it in .npy" in run(*encode, "x", "-o", "a.txt").error
    assert "folder none does not exist" in run(*encode, "x", "-o", "none/a.npy").error
    assert not list(tmp_path.glob("*.npy"))


def test_bad_codes(run: Run, tiny: Path, tmp_path: Path) -> None:
    decode = ["decode", "--model", tiny]
    np.save("float.npy", np.zeros(3))
    np.save("big.npy", np.array([64]))
    np.save("square.npy", np.zeros((3, 3), dtype=np.int64))
    np.save("object.npy", np.array([{}], dtype=object), allow_pickle=True)
    Path("half.npy").write_bytes(Path("big.npy").read_bytes()[:-4])
    Path("a.json").write_text('{"codes": "none"}')
    Path("b.json").write_text("[1, 2")
    Path("a.safetensors").write_bytes(b"\xff" * 20)
    for name in ("float.npy", "square.npy", "object.npy", "half.npy", "a.json", "a.safetensors"):
        assert f"{name} is damaged" in run(*decode, name).error
    assert "b.json is damaged" in run(*decode, "b.json").error
    assert "holds code 64: valid are 0 to 63" in run(*decode, "big.npy").error
    assert "none.npy does not exist" in run(*decode, "none.npy").error
    assert "end it in .npy" in run(*decode, "a.wav").error
    codes = {"codes": np.zeros(3, dtype=np.int32)}
    save_file(codes, "other.safetensors", metadata={"codec": "0" * 16})
    assert "was made with another codec" in run(*decode, "other.safetensors").error
    assert not list(tmp_path.glob("*.wav"))
