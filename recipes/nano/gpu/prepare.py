"""Gather what the machine with the GPU gets, in folders small enough to send one or two at a time.

base       wheels it lacks, held-out clips, semantic encoder, vocabulary
synth      the synthesiser's wheel and the texts
speech-0   recordings as Opus, and so on up to the limit of a folder
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

from pool import pack

from llasa.base.errors import LlasaError
from llasa.data.manifest import read_manifest, write_manifest
from llasa.vocabulary.tokenizer import train_bpe
from llasa.vocabulary.vocabulary import Vocabulary

BASE_WHEELS = ("soundfile", "cffi", "pycparser", "soxr", "pystoi", "swift-f0==0.3.0")
SYNTH_WHEELS = ("hibari-tts==0.2.1",)
PLATFORMS = (
    "manylinux_2_28_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
    "manylinux1_x86_64",
)
BYTES = 257
"""Smallest byte-level vocabulary: all bytes and one merge."""
MINUTES = 10.0
"""Speech in one Opus file."""


def download_wheels(folder: Path, packages: Sequence[str], python: str) -> None:
    """Fetch wheels for another Python on x86-64 Linux; those that are there stay."""
    if folder.exists():
        return
    partial = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(partial, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    command += ["--implementation", "cp", "--python-version", python, "-d", str(partial)]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    subprocess.run([*command, *packages], check=True)
    partial.rename(folder)


def copy_valid(manifests: Sequence[Path], clips: int, folder: Path) -> None:
    """The first clips of each manifest, as they are, with one manifest."""
    if (folder / "manifest.jsonl").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kept = []
    for number, manifest in enumerate(manifests):
        for index, clip in enumerate(read_manifest(manifest)[:clips]):
            path = folder / f"{number}-{index:03d}{clip.path.suffix}"
            shutil.copyfile(clip.path, path)
            kept.append(replace(clip, path=path))
    write_manifest(folder / "manifest.jsonl", kept)


def distribute(packed: Path, out: Path, limit: int) -> None:
    """Move packed files into ``speech-0``, ``speech-1``, ... of at most ``limit`` bytes."""
    room, number = limit, 0
    places: dict[Path, Path] = {}
    for rows in sorted(packed.glob("*.jsonl"), key=_real_first):
        files = [rows, rows.with_suffix(".opus")]
        size = sum(file.stat().st_size for file in files)
        if size > limit:
            raise LlasaError(f"{rows.stem} has {size:,} bytes, more than a folder may have.")
        if size > room:
            room, number = limit, number + 1
        room -= size
        places |= dict.fromkeys(files, out / f"speech-{number}")
    for file, folder in places.items():
        folder.mkdir(parents=True, exist_ok=True)
        file.replace(folder / file.name)


def _real_first(path: Path) -> tuple[bool, str]:
    return not path.name.startswith("real"), path.name


def prepare(
    out: Path,
    texts: Path,
    valid: Sequence[Path],
    semantic: Path,
    speech: Sequence[tuple[str, Path]],
    *,
    levels: Sequence[int],
    clips: int,
    kbps: float,
    limit: int,
    python: str,
) -> None:
    """Write all folders; a rerun packs no speech again that is there.

    Args:
        out: where the folders go.
        texts: one sentence a line.
        valid: manifests of clips that are never trained on, ``clips`` of each.
        semantic: weights of the semantic encoder.
        speech: names of groups (``hibari...``, ``kokoro...``, ``real...``) and their manifests.
        levels: FSQ levels of the codec.
        kbps: of the Opus files.
        limit: bytes of a speech folder.
        python: version of the other machine's Python.
    """
    base, synth = out / "base", out / "synth"
    download_wheels(base / "wheels", BASE_WHEELS, python)
    download_wheels(synth / "wheels", SYNTH_WHEELS, python)
    shutil.copyfile(texts, synth / "train.txt")
    shutil.copyfile(semantic, base / "semantic.safetensors")
    copy_valid(valid, clips, base / "valid")
    lines = texts.read_text(encoding="utf-8").splitlines()
    Vocabulary.extend(train_bpe(lines[:1000], BYTES), prod(levels)).save(base / "vocabulary")
    if not list(out.glob("speech-*")):
        packed = out / ".packed"
        shutil.rmtree(packed, ignore_errors=True)
        for name, manifest in speech:
            pack(read_manifest(manifest), packed, name, kbps, MINUTES)
        distribute(packed, out, limit)
        shutil.rmtree(packed, ignore_errors=True)
    for folder in sorted(path for path in out.iterdir() if path.is_dir()):
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(f"{folder}: {size / 2**20:.1f} MiB")
