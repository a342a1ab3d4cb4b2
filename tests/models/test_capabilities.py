"""What a model can do: the same answer before and after its codec is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from llasa.base import hub
from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.models.capabilities import capabilities
from llasa.models.find import RELEASED_CODEC, find_model
from llasa.models.folder import ModelConfig, ModelFiles
from llasa.text import PLAIN
from tests.tiny_model import CODEC, tiny_codec, write_tiny_model


@pytest.mark.parametrize("lm_clones", [False, True])
@pytest.mark.parametrize("size", [0, 8])
def test_cloning_is_up_to_either_model(tmp_path: Path, lm_clones: bool, size: int) -> None:
    settings, config = ModelConfig("tiny", cloning=lm_clones), replace(CODEC, speaker_size=size)
    files = find_model(write_tiny_model(tmp_path, settings, config=config))
    able = capabilities(files)
    assert able == capabilities(files, Codec.load(files.codec, "cpu"))
    assert (able.lm_clones, able.can_clone) == (lm_clones, lm_clones or size > 0)
    if able.can_clone:
        able.check_cloning()
    else:
        with pytest.raises(LlasaError, match="Model tiny was not trained to clone voices: take"):
            able.check_cloning()


def test_the_shipped_model() -> None:
    able = capabilities(find_model("nano"))
    assert able.to_dict() == {
        "cloning": True,
        "languages": ["en"],
        "capitals": False,
        "quotes": False,
        "digits": False,
        "rate": 16_000,
        "exact_streaming": True,
        "hearing": False,
    }
    assert not able.lm_clones
    assert (able.language, able.only_language) == ("en", "en")


def test_writing_and_languages() -> None:
    def of(settings: ModelConfig) -> object:
        able = capabilities(ModelFiles(settings, Path("lm"), "none"), tiny_codec())
        return able.capitals, able.quotes, able.digits, able.language, able.only_language

    assert of(ModelConfig("all")) == (True, True, True, "en", None)
    assert of(ModelConfig("plain", form=PLAIN)) == (False, False, False, "en", None)
    assert of(ModelConfig("de", languages=("de",))) == (True, True, True, "de", "de")
    assert of(ModelConfig("two", languages=("de", "fr"))) == (True, True, True, "en", None)


def test_a_codec_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub id: nothing is known before the download, and nothing is refused; then all is."""
    files = ModelFiles(ModelConfig("lone", cloning=False), tmp_path, RELEASED_CODEC)

    def nothing(hub_id: str) -> Path:
        raise hub.NotDownloadedError(hub_id)

    monkeypatch.setattr(hub, "downloaded", nothing)
    able = capabilities(files)
    assert (able.can_clone, able.rate, able.exact_streaming) == (None, None, None)
    able.check_cloning()
    tiny_codec(config=replace(CODEC, speaker_size=8)).save(tmp_path / "cached")
    monkeypatch.setattr(hub, "downloaded", lambda hub_id: tmp_path / "cached")
    assert capabilities(files).can_clone
    (tmp_path / "cached" / "config.json").write_text('{"model_type": "xcodec2"}')
    assert capabilities(files).can_clone is False


def test_damaged_settings(tmp_path: Path) -> None:
    files = ModelFiles(ModelConfig("x"), tmp_path, tmp_path)
    for text in ('{"codec": {"strides": 3}}', '{"codec": 3}', "{"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(LlasaError, match=r"config\.json is damaged"):
            capabilities(files)
