"""Codecs under test: bits, alignment, and the codecs of Transformers with random weights."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llasa.audio.audio import Audio, read_audio
from llasa.base.errors import LlasaError
from llasa.evaluation.systems import OwnCodec, find_system, opus_bits
from tests.tiny_model import tiny_codec, tone


@pytest.fixture(scope="module")
def clip(speech_data: Path) -> Audio:
    return read_audio(speech_data / "librispeech/1688-142285-0002.flac").mono()


@pytest.mark.parametrize("kbps", [6, 12, 32, 128])
def test_opus_takes_about_the_bits_it_was_asked_for(clip: Audio, kbps: int) -> None:
    system = find_system(f"opus:{kbps}")
    coded = system(clip)
    assert coded.bits / clip.duration / 1000 == pytest.approx(kbps, rel=0.15)
    both = coded.audio.samples[:32_000], clip.samples[:32_000]
    assert abs(np.correlate(*both, "full").argmax() - 31_999) <= 2
    assert system.name == f"opus:{kbps}"
    assert coded.codes is None


def test_opus_bits_leave_the_framing_out() -> None:
    data = tone(3.0).encode("opus", 0.9)
    assert 0.8 * 8 * len(data) < opus_bits(data) < 8 * (len(data) - 100)


@pytest.mark.parametrize("kbps", ["5", "257", "x", ""])
def test_opus_rates_that_do_not_exist(kbps: str) -> None:
    with pytest.raises(LlasaError, match=r"give 6 to 256, as in opus:12"):
        find_system(f"opus:{kbps}")


def test_ours(tmp_path: Path) -> None:
    tiny_codec().save(tmp_path / "codec")
    system = find_system(str(tmp_path / "codec"), "cpu")
    assert isinstance(system, OwnCodec)
    coded = system(tone(1.0, 24_000))
    assert coded.codes is not None
    assert coded.codes.shape == (51,)
    assert coded.bits == 51 * 6
    assert (coded.audio.rate, coded.codebook_size) == (16_000, 64)


def tiny_transformers(kind: str, folder: Path) -> None:
    """A codec of Transformers with random weights, saved."""
    import torch
    import transformers as t

    torch.manual_seed(0)
    config: Any
    model: Any
    if kind == "encodec":
        config = t.EncodecConfig(
            target_bandwidths=[1.5, 3.0], num_filters=4, hidden_size=16, codebook_dim=16,
            codebook_size=1024, num_lstm_layers=1,
        )  # fmt: skip
        model = t.EncodecModel(config)
    elif kind == "dac":
        config = t.DacConfig(
            encoder_hidden_size=8, downsampling_ratios=[4, 5, 16], decoder_hidden_size=32,
            n_codebooks=4, codebook_size=64, codebook_dim=4, sampling_rate=16_000,
        )  # fmt: skip
        model = t.DacModel(config)
    else:
        config = t.MimiConfig(
            num_filters=4, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=2, num_key_value_heads=2, head_dim=16, codebook_size=64,
            codebook_dim=16, vector_quantization_hidden_dimension=16, num_quantizers=4,
            upsample_groups=32,
        )  # fmt: skip
        model = t.MimiModel(config)
    model.save_pretrained(folder)


@pytest.mark.parametrize(("kind", "frames"), [("encodec", 75.0), ("dac", 50.0), ("mimi", 12.5)])
def test_codecs_of_transformers(tmp_path: Path, kind: str, frames: float) -> None:
    pytest.importorskip("transformers")
    tiny_transformers(kind, tmp_path / kind)
    system = find_system(f"transformers:{tmp_path / kind}@2", "cpu")
    coded = system(tone(2.0, 16_000))
    assert coded.codes is not None
    books, length = coded.codes.shape
    assert books == 2
    assert length == pytest.approx(2 * frames, abs=2)
    size = 1024 if kind == "encodec" else 64
    assert coded.bits == books * length * math.log2(size)
    assert coded.audio.duration == pytest.approx(2.0, abs=0.1)
    assert coded.codebook_size == size


def test_numbers_of_codebooks_that_encodec_was_not_made_for(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    tiny_transformers("encodec", tmp_path)
    with pytest.raises(LlasaError, match=r"cannot take 3 codebooks: it takes 2 or 4"):
        find_system(f"transformers:{tmp_path}@3", "cpu")


def test_codecs_that_cannot_be_opened(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    for spec, sentence in [
        ("transformers:none", "none does not exist"),
        (f"transformers:{tmp_path}", "isn't a codec that can be opened"),
        ("transformers:a/b@x", "isn't a number of codebooks"),
        ("transformers:a/b@0", "isn't a number of codebooks"),
    ]:
        with pytest.raises(LlasaError, match=sentence):
            find_system(spec)


def test_code_of_a_model_folder_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    kinds = {"AutoConfig": "evil.C", "AutoModel": "evil.M"}
    config = {"model_type": "evil", "architectures": ["M"], "auto_map": kinds}
    (tmp_path / "config.json").write_text(json.dumps(config))
    ran = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(LlasaError, match="isn't a codec that can be opened"):
        find_system(f"transformers:{tmp_path}")
    assert not ran.exists()


def test_every_auto_class_refuses_foreign_code() -> None:
    source = Path(__file__).parents[2] / "src" / "llasa"
    for path in source.rglob("*.py"):
        for call in re.findall(r"Auto\w+\.from_pretrained\([^)]*\)", path.read_text("utf-8")):
            assert "trust_remote_code=False" in call or "**local" in call, f"{path}: {call}"
