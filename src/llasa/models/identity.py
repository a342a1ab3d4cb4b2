"""Hashes of everything that decides how a run sounds; if they are equal, a run is resumed.

Models are identified by the contents of their files: a folder that was moved is the same model, and
one that was trained further in place is another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from llasa.base import jsonl
from llasa.base.files import digest
from llasa.base.hub import find_folder
from llasa.models.folder import ModelFiles
from llasa.models.voice import Voice
from llasa.text import user_lexicon

_SILENT = ("name", "lm", "codec", "default_voice", "alignment", "hearing")
"""Settings of a model that do not decide how it sounds."""


def identity(parts: object) -> str:
    """A hash, 16 hexadecimal digits, of any JSON value."""
    return hashlib.sha256(jsonl.render(parts)).hexdigest()[:16]


def model_identity(files: ModelFiles, variant: Mapping[str, object]) -> str:
    """Identity of a model: weights, settings, and the `variant` that runs (engine, int8)."""
    settings = {key: value for key, value in asdict(files.settings).items() if key not in _SILENT}
    weights = digest(files.lm, find_folder(files.codec))
    return identity([weights, settings, repr(sorted(variant.items()))])


def variant_of(
    int8: bool = False,
    engine: str = "torch",
    options: Mapping[str, object] | None = None,
    fast: bool = False,
) -> dict[str, object]:
    """What else decides how a model sounds."""
    found = {"int8": int8, "engine": engine, "options": dict(options or {})}
    return found | ({"fast": True} if fast else {})


def speaking_identity(
    files: ModelFiles, int8: bool, engine: str, fast: bool = False
) -> dict[str, str]:
    """What decides how the command line speaks a text: the model, how it runs, respellings."""
    found = {"identity": model_identity(files, variant_of(int8, engine, fast=fast))}
    respelled = user_lexicon().entries
    return found | ({"user_lexicons": identity(respelled)} if respelled else {})


def voice_identity(voice: Voice | None) -> str | None:
    """Identity of a voice, except its name; None for the model's own."""
    if voice is None:
        return None
    embedding = voice.speaker_embedding
    sound = None if embedding is None else [embedding.id, embedding.values.tolist()]
    return identity([voice.transcript, voice.speaker, voice.codec, voice.codes.tolist(), sound])


def named_file(path: Path) -> list[str]:
    """The name of a file, and its identity."""
    return [path.name, file_identity(path)]


def file_identity(path: str | Path) -> str:
    """Identity of any file, by its bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
