"""Verifiers by name, and from other packages."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import llasa.verifiers as verifiers
from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.base.packages import PIP
from llasa.verifiers import (
    Candidate,
    find_verifier,
    find_verifiers,
    verifier_names,
    verify,
)
from llasa.verifiers.registry import ALIASES, BUILT_IN, missing_packages

WITHOUT_WEIGHTS = [
    name for name, entry in BUILT_IN.items() if not (entry.argument or "").endswith("!")
]
"""Names that say all that is needed."""
BRISK = """
class Brisk:
    # Share of the time that is not a pause.
    name, family, needs = "brisk", "energy", {"audio"}

    def score(self, batch):
        return [self.spoken(candidate.audio.mono().samples) for candidate in batch]

    def spoken(self, samples):
        frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
        level = (frames**2).mean(axis=1)
        return (level > 1e-3 * level.max()).mean()
"""


def clips() -> list[Candidate]:
    tone = np.sin(np.arange(16_000, dtype=np.float32))
    halves = np.concatenate([tone[:8000], np.zeros(8000, np.float32)])
    return [Candidate(audio=Audio(samples, 16_000)) for samples in (tone, halves)]


def test_a_package_adds_a_verifier_by_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_package.py").write_text(BRISK)
    folder = tmp_path / "my_package-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[llasa.verifiers]\nbrisk = my_package:Brisk\nbroken = my_package:Missing\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert verifier_names()["brisk"] == "from my_package:Brisk"
    np.testing.assert_allclose(verify(find_verifier("brisk"), clips()).scores, [1.0, 0.5])
    with pytest.raises(LlasaError, match="broken of my_package:Missing cannot be loaded"):
        find_verifier("broken")
    sys.modules.pop("my_package", None)


@pytest.mark.parametrize("name", sorted(WITHOUT_WEIGHTS) + sorted(ALIASES))
def test_every_name_makes_a_verifier_without_opening_a_model(name: str) -> None:
    verifier = find_verifier(name)
    assert verifier.name == ALIASES.get(name, name)
    assert verifier.family
    assert set(verifier.needs) <= set(verifiers.NEEDS)
    assert name in verifier_names()


def test_selecting_and_judging_families_differ() -> None:
    families = [find_verifier(name).family for name in ("moonshine", "whisper", "campplus", "ge2e")]
    assert len(set(families)) == 4


def test_arguments_follow_a_colon() -> None:
    assert find_verifier("whisper:openai/whisper-small").name == "whisper:openai/whisper-small"
    assert find_verifier("dnsmos:p808").name == "dnsmos:p808"
    assert find_verifier("style:lively").name == "style:lively"


def test_other_languages_are_heard_by_whisper() -> None:
    assert find_verifier("content", "de").family == "whisper"
    with pytest.raises(LlasaError, match="Moonshine hears English only"):
        find_verifier("moonshine", "de")


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("moonshin", "'moonshin' is unknown: valid are .* Did you mean moonshine?"),
        ("length:3", "length takes no argument, but was given '3'"),
        ("xvector", "xvector needs a model or id: write xvector:..."),
        ("dnsmos:all", "no measure 'all': valid are ovrl, sig, bak, p808"),
        (42, "int isn't a verifier: it has no name and no family and no needs and no score"),
    ],
)
def test_mistakes_get_one_sentence(spec: str, sentence: str) -> None:
    with pytest.raises(LlasaError, match=sentence):
        find_verifier(spec)


def test_several_are_named_in_one_string() -> None:
    found = find_verifiers("content, speaker")
    assert [verifier.family for verifier in found] == ["moonshine", "campplus"]
    with pytest.raises(LlasaError, match="moonshine is named twice"):
        find_verifiers(["content", "moonshine"])


@pytest.mark.parametrize("name", BUILT_IN)
def test_packages_of_each_verifier_are_known_to_pip(name: str) -> None:
    assert set(BUILT_IN[name].packages) <= set(PIP)
    assert missing_packages(name).keys() <= set(BUILT_IN[name].packages)
