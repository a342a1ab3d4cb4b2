"""Decoders that speak at another rate than the encoder hears."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llasa.base.errors import LlasaError
from llasa.codec.checkpoints.transformers import to_transformers
from llasa.codec.codec import Codec
from llasa.codec.config import CodecConfig
from llasa.codec.heads.harmonic import HarmonicHead
from tests.tiny_model import CODEC, tiny_codec, tone

from .tools import port_codes, port_config, port_sample, randomize, spread_codes

RATE, HOP = 24_000, 480


@pytest.fixture(params=["istft", "harmonic"])
def codec(request: pytest.FixtureRequest) -> Codec:
    config = replace(CODEC, output_rate=RATE, decoder_head=request.param)
    return tiny_codec(config=config)


def test_both_rates(codec: Codec) -> None:
    assert (codec.sample_rate, codec.hop) == (RATE, HOP)
    assert (codec.input_rate, codec.input_hop, codec.frame_rate) == (16_000, 320, 50.0)
    (codes,) = codec.encode([tone(1.0)])
    (cut,) = codec.encode([tone(1.0)], pad="none")
    assert (len(codes), len(cut)) == (51, 50)
    (sound,) = codec.decode([codes])
    assert len(sound) == 51 * HOP
    assert len(codec.decode_part(codes, 40)[0]) == 11 * HOP


def test_codes_are_those_of_the_other_codec(codec: Codec) -> None:
    """What is spoken has nothing to do with what is heard."""
    other = tiny_codec(config=replace(codec.model.config, output_rate=16_000))
    other.model.load_state_dict(
        {k: v for k, v in codec.model.state_dict().items() if ".head." not in k}, strict=False
    )
    np.testing.assert_array_equal(codec.encode([tone(1.0)])[0], other.encode([tone(1.0)])[0])
    assert codec.id == other.id
    assert other.sample_rate == 16_000


def test_it_is_kept_in_our_layout(codec: Codec, tmp_path: Path) -> None:
    codec.save(tmp_path)
    again = Codec.load(tmp_path, "cpu")
    assert again.model.config == codec.model.config
    codes = np.arange(20)
    np.testing.assert_array_equal(again.decode([codes])[0], codec.decode([codes])[0])


def test_a_voice_is_heard_above_eight_kilohertz() -> None:
    """Harmonics, and the pitch that was asked for, at the output rate."""
    torch.manual_seed(0)
    head = HarmonicHead(16, HOP, RATE)
    said = head.spectra(torch.zeros(1, 50, 16))
    flat = said._replace(harmonics=torch.zeros_like(said.harmonics), noise=said.noise - 50)
    loud = flat._replace(phase=torch.zeros_like(said.phase), voiced=said.voiced + 9)
    hertz = torch.full_like(said.log_hertz, 200.0)
    sound, _ = head.render(loud, said.pitch()._replace(hertz=hertz, voiced=hertz / 200))
    power = torch.fft.rfft(sound[0]).abs().square()
    bins = torch.arange(len(power)) % 200 == 0  # the sound lasts for a second
    assert power[bins].sum() > 0.99 * power.sum()
    assert power[8_200:11_400][bins[8_200:11_400]].min() > 0.5 * power[200]
    assert power[11_500:].max() < 0.01 * power[200]


@pytest.mark.parametrize("rate", [8_000, 22_000, 32_000, 48_000])
def test_other_rates_that_fit(rate: int) -> None:
    codec = tiny_codec(config=replace(CODEC, output_rate=rate, decoder_head="harmonic"))
    assert len(codec.decode([np.arange(10)])[0]) == 10 * codec.hop == rate // 5


@pytest.mark.parametrize("rate", [22_050, 24_001, 96_000])
def test_rates_that_do_not_fit(rate: int) -> None:
    with pytest.raises(LlasaError, match=rf"output_rate is {rate}: give a multiple of 200 Hz from"):
        CodecConfig(output_rate=rate)


@pytest.mark.parametrize("rate", [0, 24_000.0, "24000", True])
def test_rates_that_are_none(rate: object) -> None:
    with pytest.raises(LlasaError, match="output_rate is .*; give a whole number of at least 8000"):
        CodecConfig(output_rate=rate)  # type: ignore[arg-type]


def neural_port(clip: np.ndarray) -> Any:
    """``transformers.NeuCodecModel`` with random weights."""
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "NeuCodecModel"):
        pytest.skip("this version of transformers has no NeuCodecModel")
    settings = port_config().to_dict()
    for name in ("model_type", "sampling_rate", "architectures"):
        settings.pop(name, None)
    torch.manual_seed(0)
    model = transformers.NeuCodecModel(transformers.NeuCodecConfig(**settings)).eval()
    randomize(model, seed=1)
    spread_codes(model.quantizer.project_in, lambda: port_codes(model, clip))
    return model


@pytest.mark.slow
def test_transformers_neucodec_is_an_oracle(clip: np.ndarray, tmp_path: Path) -> None:
    """Equal codes and equal sound, and the folder that we write opens there again."""
    model = neural_port(clip)
    model.save_pretrained(tmp_path / "theirs")
    sample = port_sample(model, clip)
    codec = Codec.load(tmp_path / "theirs", "cpu")
    assert (codec.sample_rate, codec.input_rate) == (RATE, 16_000)
    sample.check(codec)
    codec.save(tmp_path / "ours", layout="transformers")
    opened, report = type(model).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report.values())
    port_sample(opened.eval(), clip).check(codec)
    sample.check(Codec.load(tmp_path / "ours", "cpu"))


def test_what_neucodec_cannot_hold() -> None:
    config = CodecConfig(output_rate=RATE, decoder_head="harmonic")
    with pytest.raises(LlasaError, match="NeuCodecModel cannot hold this codec: decoder_head"):
        to_transformers(config, {})
