"""Model folders: found, described, packed, and refused with a reason."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from llasa.base.errors import LlasaError
from llasa.base.files import write_json
from llasa.codec.codec import Codec
from llasa.models.find import find_codec, find_model, shipped_models
from llasa.models.folder import ModelConfig, ReadingHeads, check_fit
from llasa.models.pack import pack_model
from llasa.models.voice import Voice
from llasa.text import PLAIN, Form
from llasa.tts.llasa import Llasa
from llasa.vocabulary.vocabulary import Vocabulary
from tests.tiny_model import tiny_codec, tiny_voice

SCALING = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


def test_a_model_folder(tiny: Path) -> None:
    found = find_model(tiny)
    assert found.settings == ModelConfig("tiny", default_voice="ann")
    assert (found.lm, found.codec) == (tiny / "lm", tiny / "codec")
    assert found.voices == [tiny / "voices"]
    assert found.card().startswith("# tiny\n")


def test_the_codec_of_a_model(tiny: Path) -> None:
    assert find_codec(tiny) == tiny / "codec"
    assert find_codec(tiny / "codec") == tiny / "codec"
    assert find_codec("owner/name") == "owner/name"
    assert find_model(tiny.parent / "parts" / "lm", codec=tiny).codec == tiny / "codec"


def test_files_are_half_precision(tiny: Path) -> None:
    for part in ("lm", "codec"):
        with safe_open(tiny / part / "model.safetensors", framework="pt") as file:
            kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
        assert kinds == {torch.float16}


def test_the_form_of_text(tmp_path: Path) -> None:
    """Written and read again; of an older model, which had no quotation marks, the plain one."""
    path = tmp_path / "config.json"
    write_json(path, asdict(ModelConfig("plain", form=PLAIN)))
    assert ModelConfig.read(path).form == PLAIN == find_model("nano").settings.form
    write_json(path, {"name": "old", "quotes": False})
    assert ModelConfig.read(path).form == PLAIN
    write_json(path, {"name": "big", "quotes": True})
    assert ModelConfig.read(path).form == Form()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"name": "x", "codex": "codec"}, r"key 'codex' is unknown: .* Did you mean codec\?"),
        ({}, "has no name"),
        ({"name": "x", "max_tokens": "many"}, "max_tokens cannot be 'many'"),
        ({"name": "x", "chunk_chars": 0}, "chunk_chars cannot be 0"),
        ({"name": "x", "languages": "en"}, "languages cannot be 'en'"),
        ({"name": "x", "languages": 5}, "languages cannot be 5"),
        ({"name": "x", "languages": ["en", "xx"]}, "'xx' is not a language"),
        ({"name": "x", "languages": ["eng"]}, "'eng' is not a language"),
        ({"name": "x", "languages": ["EN"]}, "languages has 'EN': write 'en'"),
        ({"name": "x", "languages": ["en-GB"]}, "languages has 'en-GB': write 'en'"),
        ({"name": "x", "pace": 0.5}, "pace is 0.5; give a number from 1"),
        ({"name": "x", "pace": float("nan")}, "pace is nan; give a number from 1"),
        ({"name": "x", "cloning": "yes"}, "cloning cannot be 'yes'"),
        ({"name": "x", "alignment": [2]}, "alignment must have a layer and offsets"),
        ({"name": "x", "alignment": {"layer": 2, "offsets": []}}, "a number for each head"),
        ({"name": "x", "alignment": {"layer": -1, "offsets": [0]}}, "alignment.layer is -1"),
        ({"name": "x", "alignment": {"layer": 0, "offsets": ["a"]}}, "alignment.offsets is 'a'"),
    ],
)
def test_damaged_descriptors(tmp_path: Path, values: dict[str, object], reason: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llasa", **values}))
    with pytest.raises(LlasaError, match=reason):
        find_model(tmp_path)


def test_unknown_models(tmp_path: Path, tiny: Path) -> None:
    for name in ("nanno", "no/such/folder"):
        with pytest.raises(LlasaError, match=f"Model '{name}' is unknown: give"):
            find_model(name)
    with pytest.raises(LlasaError, match="is a file: give the folder of a model"):
        find_model(tiny / "README.md")
    with pytest.raises(LlasaError, match=r"is not a model folder: it has no config\.json"):
        find_model(tmp_path)
    with pytest.raises(LlasaError, match="has model_type 'llasa-codec', valid are"):
        find_model(tiny / "codec")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(LlasaError, match="not valid JSON"):
        find_model(tmp_path)


def test_hub_models_when_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(LlasaError, match="not a local folder and could not be downloaded"):
        find_model("HKUSTAudio/Llasa-1B")


def test_packing_refuses_what_does_not_fit(tiny: Path, tmp_path: Path) -> None:
    lm, codec = tiny.parent / "parts" / "lm", tiny.parent / "parts" / "codec"
    foreign = tiny_voice(tiny_codec(seed=1), "eve")
    for settings, voices, reason in (
        (ModelConfig("a b"), [], "not a valid model name"),
        (ModelConfig("x"), [foreign], "Voice eve was made with another codec"),
        (ModelConfig("x", default_voice="ann"), [], "default voice 'ann' is not among"),
        (ModelConfig("x", alignment=ReadingHeads(2, (0,))), [], "has 2 layers .* of 2 heads"),
        (ModelConfig("x", alignment=ReadingHeads(0, (0, 1, 2))), [], "names 3 heads of layer 0"),
    ):
        with pytest.raises(LlasaError, match=reason):
            pack_model(lm, codec, tmp_path / "out", settings, voices=voices)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(LlasaError, match="exists and is not a model folder"):
        pack_model(lm, codec, tmp_path / "mine", ModelConfig("x"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_language_models_belong_to_a_codec(tiny: Path) -> None:
    vocabulary, codec = Vocabulary.load(tiny / "lm"), Codec.load(tiny / "codec", "cpu")
    for known in ("", codec.id):
        vocabulary.codec = known
        check_fit(vocabulary, vocabulary.size, codec)
    other = tiny_codec(seed=1)
    with pytest.raises(LlasaError, match=f"the codes of the codec {codec.id}, but .* {other.id}:"):
        check_fit(vocabulary, vocabulary.size, other)
    with pytest.raises(LlasaError, match="has 372 tokens, but the language model only 371"):
        check_fit(vocabulary, vocabulary.size - 1, codec)


def test_packing_replaces_a_model(tiny: Path, tmp_path: Path) -> None:
    lm, codec = tiny.parent / "parts" / "lm", tiny.parent / "parts" / "codec"
    speaker = Voice("bob", speaker="Bob")
    out = pack_model(lm, codec, tmp_path / "m", ModelConfig("one"), voices=[speaker])
    assert (out / "voices" / "bob.safetensors").exists()
    pack_model(lm, codec, out, ModelConfig("two", lm="ignored"), card="# Two\n", half=False)
    assert find_model(out).settings == ModelConfig("two")
    assert find_model(out).card() == "# Two\n"
    assert not list((out / "voices").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_shipped_models_are_whole() -> None:
    for name, folder in shipped_models().items():
        found = find_model(name)
        assert found.settings.name == name
        assert found.card()
        assert (folder / "lm" / "model.safetensors").is_file()


HUGE = 10**30
DEEP = "[" * 100_000


@pytest.mark.parametrize("part", ["lm", "codec", "."])
def test_deeply_nested_configs(tiny: Path, tmp_path: Path, part: str) -> None:
    folder = shutil.copytree(tiny, tmp_path / "model")
    (folder / part / "config.json").write_text(DEEP)
    with pytest.raises(LlasaError, match="nested more than 100 deep"):
        Llasa.load(folder, device="cpu")


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        *[("lm", {name: HUGE}) for name in ("hidden_size", "vocab_size", "num_hidden_layers")],
        *[("lm", {"num_hidden_layers": n}) for n in (True, 900, 100_000, -1, 2.0)],
        *[("lm", {"rope_theta": value}) for value in (1e-300, 1e300, "x")],
        ("lm", {"rope_scaling": {**dict.fromkeys(SCALING, 1.0), "type": "llama3", "factor": 0}}),
        *[("codec", {name: HUGE}) for name in ("decoder_window", "decoder_size", "sample_rate")],
        *[("codec", {"decoder_heads": n}) for n in (0, -2, True)],
        *[("codec", {"decoder_layers": n}) for n in (900, 100_000)],
        ("codec", {"norm_groups": 0}),
        ("codec", {"levels": [4] * 1000}),
        ("codec", {"levels": [1 << 40]}),
        ("codec", {"strides": []}),
        ("codec", {"dropout": "x"}),
        ("codec", {"semantic": {"kind": "conv", "layers": 100_000}}),
        ("codec", {"semantic": {"kind": "conv", "extra": 3}}),
    ],
)
def test_absurd_sizes_are_refused_before_anything_is_built(
    tiny: Path, tmp_path: Path, part: str, changes: dict[str, object]
) -> None:
    folder = shutil.copytree(tiny, tmp_path / "model")
    path = folder / part / "config.json"
    config = json.loads(path.read_text())
    (config["codec"] if part == "codec" else config).update(changes)
    path.write_text(json.dumps(config))
    with pytest.raises(LlasaError):
        Llasa.load(folder, device="cpu")


@pytest.mark.parametrize(
    "changes",
    [
        {"added_tokens": [1]},
        {"added_tokens": [{}]},
        {"added_tokens": [{"content": 3, "id": "x"}]},
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
        {"model": {}},
        {"model": None},
    ],
)
def test_damaged_tokenizers(tiny: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    folder = shutil.copytree(tiny / "lm", tmp_path / "lm")
    spec = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**spec, **changes}))
    with pytest.raises(LlasaError):
        Vocabulary.load(folder)


@pytest.mark.parametrize("key", ["lm", "codec"])
def test_names_that_no_file_can_have(tiny: Path, tmp_path: Path, key: str) -> None:
    folder = shutil.copytree(tiny, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: "a\0b"}))
    with pytest.raises(LlasaError):
        Llasa.load(folder, device="cpu")


def test_what_learns_to_speak_alone_promises_nothing_else() -> None:
    heads = ReadingHeads(1, (0.0, 2.0))
    before = ModelConfig("a", hearing=True, alignment=heads, languages=("en",))
    after = ModelConfig("b", alignment=heads, languages=("en",))
    assert before.after_speaking(name="b") == after
