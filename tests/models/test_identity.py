"""Identity of a run: what is in the files and how they run, not where they lie."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llasa.models.find import find_model
from llasa.models.folder import ReadingHeads
from llasa.models.identity import identity, model_identity, variant_of, voice_identity
from llasa.models.voice import Voice
from tests.tiny_model import tiny_codec, tiny_voice, write_tiny_model


def of(folder: Path, **variant: object) -> str:
    return model_identity(find_model(folder), variant_of(**variant))  # type: ignore[arg-type]


def test_a_model_is_the_same_wherever_it_lies(tiny: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny, tmp_path / "elsewhere")
    assert of(copy) == of(tiny)
    (copy / "README.md").write_text("another card")
    assert of(copy) == of(tiny)


def test_other_weights_in_its_place_are_another_model(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "a")
    other = write_tiny_model(tmp_path / "b", seed=1)
    before = of(folder)
    assert of(other) != before
    shutil.copy(other / "lm" / "model.safetensors", folder / "lm" / "model.safetensors")
    assert of(folder) == of(other)


@pytest.mark.parametrize(
    "variant", [{"int8": True}, {"engine": "vllm"}, {"options": {"dtype": "float16"}}]
)
def test_what_runs_the_model_counts(tiny: Path, variant: dict[str, object]) -> None:
    assert of(tiny, **variant) != of(tiny)


def test_settings_count_and_names_do_not(tiny: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "name": "other"}))
    assert of(copy) == of(tiny)
    (copy / "config.json").write_text(json.dumps({**config, "sampling": {"temperature": 0.5}}))
    assert of(copy) != of(tiny)


def test_a_voice_is_all_but_its_name() -> None:
    voice = tiny_voice(tiny_codec())
    assert voice_identity(voice.renamed("bob")) == voice_identity(voice)
    other = replace(voice, codes=voice.codes[::-1].copy())
    assert voice_identity(other) != voice_identity(voice)
    assert voice_identity(None) is None
    named = Voice("a", speaker="ann")
    assert voice_identity(named) != voice_identity(Voice("a", speaker="bob"))


def test_equal_parts_are_equal_strings() -> None:
    assert identity(["a", 1, {"b": 0.5}]) == identity(["a", 1, {"b": 0.5}])
    assert len({identity(parts) for parts in (["a", 1], ["a", 2], ["a1"], "\ud83d")}) == 4
    assert np.array([identity(None)]).dtype == "<U16"


def test_no_other_place_makes_an_identity_of_a_run() -> None:
    """Other hashes are of bytes, or draw random numbers: keys, packages, clips, weights by name."""
    others = {"access.py", "codec.py", "packages.py", "files.py", "speaker.py", "identity.py"}
    others |= {"examine.py", "start.py"}
    source = Path(__file__).parents[2] / "src" / "llasa"
    found = {path.name for path in source.rglob("*.py") if "hashlib" in path.read_text("utf-8")}
    assert found <= others


def test_what_only_times_a_model_does_not_count(tiny: Path) -> None:
    files = find_model(tiny)
    timed = replace(files.settings, alignment=ReadingHeads(0, (0,)))
    assert model_identity(replace(files, settings=timed), {}) == model_identity(files, {})
