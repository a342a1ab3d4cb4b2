"""Uploading a model, with a hub of our own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub.utils._paths import filter_repo_objects

import llasa
from llasa.base.errors import LlasaError
from llasa.base.hub import download
from llasa.models.find import find_model
from llasa.models.folder import CARD, ModelConfig
from llasa.models.publish import model_card, publish
from llasa.tts.llasa import Llasa
from tests.tiny_model import write_tiny_model


def copied(
    source: Path, target: Path, allowed: list[str], ignored: list[str] | None = None
) -> None:
    """What the hub's library takes of a folder by these patterns."""
    names = [str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()]
    for name in filter_repo_objects(names, allow_patterns=allowed, ignore_patterns=ignored):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, target / name)


class Hub:
    """Takes what `HfApi` takes and keeps it in a folder."""

    folder: Path
    asked: dict[str, Any]

    def __init__(self, token: str | None = None) -> None:
        self.asked["token"] = token

    def create_repo(self, repo_id: str, *, private: bool | None, exist_ok: bool) -> str:
        assert exist_ok
        self.asked["private"] = private
        return f"https://hub/{repo_id}"

    def upload_folder(
        self,
        *,
        repo_id: str,
        folder_path: Path,
        commit_message: str,
        allow_patterns: list[str],
        ignore_patterns: list[str],
    ) -> None:
        self.asked["message"] = commit_message
        copied(folder_path, self.folder, allow_patterns, ignore_patterns)

    def upload_file(
        self, *, path_or_fileobj: bytes, path_in_repo: str, repo_id: str, commit_message: str
    ) -> None:
        (self.folder / path_in_repo).write_bytes(path_or_fileobj)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Hub]:
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    monkeypatch.setattr(Hub, "folder", tmp_path / "hub", raising=False)
    monkeypatch.setattr(Hub, "asked", {}, raising=False)
    return Hub


def test_what_was_uploaded_speaks(hub: type[Hub], tiny: Path, own_voices: Path) -> None:
    tts = llasa.from_pretrained(tiny, device="cpu")
    assert tts.push_to_hub("me/tiny", private=True, token="t") == "https://hub/me/tiny"
    assert hub.asked == {"token": "t", "private": True, "message": "Upload tiny"}
    again = Llasa.from_pretrained(hub.folder, device="cpu")
    assert again.identity == tts.identity
    assert again.voices() == tts.voices()
    speech, other = (one("The fox.", seed=1) for one in (tts, again))
    assert speech.codes.tolist() == other.codes.tolist()


def test_graphs_go_up_and_come_down(
    hub: type[Hub], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of an export, and not those that lie elsewhere for other programs."""
    graphs, other = {"lm/model.onnx", "codec/decoder.onnx"}, "onnx/model_q4.onnx"
    model = shutil.copytree(tiny, tmp_path / "model")
    for name in (*graphs, other):
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_bytes(b"graph")
    publish(find_model(model), "me/tiny")
    assert {str(path.relative_to(hub.folder)) for path in hub.folder.rglob("*.onnx")} == graphs
    (hub.folder / other).parent.mkdir()
    (hub.folder / other).write_bytes(b"graph")

    def snapshot(repo_id: str, allow_patterns: list[str]) -> str:
        copied(hub.folder, tmp_path / "cache", allow_patterns)
        return str(tmp_path / "cache")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.chdir(tmp_path)
    here = download("me/tiny")
    assert {str(path.relative_to(here)) for path in here.rglob("*.onnx")} == graphs


def test_the_card(tmp_path: Path) -> None:
    files = find_model(write_tiny_model(tmp_path, ModelConfig("tiny", languages=("en",))))
    card = model_card(files, "me/tiny")
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "llasa",
        "pipeline_tag": "text-to-speech",
        "language": ["en"],
    }
    assert body.strip().startswith("# tiny")
    assert 'llasa.from_pretrained("me/tiny")' in body
    assert files.root is not None
    (files.root / CARD).write_text("---\nlicense: mit\n---\n# Mine\n")
    assert model_card(files, "me/tiny") == "---\nlicense: mit\n---\n# Mine\n"


def test_what_cannot_be_uploaded(
    hub: type[Hub], tiny: Path, monkeypatch: pytest.MonkeyPatch, own_voices: Path
) -> None:
    tts = Llasa.load(tiny, device="cpu")
    with pytest.raises(LlasaError, match="'tiny' is not a hub id: give owner/name"):
        tts.push_to_hub("tiny")
    apart = Llasa.load(tiny / "lm", codec=tiny / "codec", device="cpu")
    with pytest.raises(LlasaError, match="llasa pack"):
        apart.push_to_hub("me/tiny")

    def refuse(self: Hub, repo_id: str, **settings: Any) -> str:
        raise OSError("401 Client Error.\nRequest ID: 1")

    monkeypatch.setattr(hub, "create_repo", refuse)
    with pytest.raises(LlasaError, match=r"me/tiny could not be uploaded \(401 Client Error\)"):
        tts.push_to_hub("me/tiny")
