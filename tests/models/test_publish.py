"""Uploading a model, with a hub of our own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import llasa
from llasa.base.errors import LlasaError
from llasa.models.find import find_model
from llasa.models.folder import CARD, ModelConfig
from llasa.models.publish import model_card
from llasa.tts.llasa import Llasa
from tests.tiny_model import write_tiny_model


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
        for path in folder_path.rglob("*"):
            name = str(path.relative_to(folder_path))
            allowed = any(Path(name).match(pattern) for pattern in allow_patterns)
            if path.is_file() and allowed and name not in ignore_patterns:
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, self.folder / name)

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
