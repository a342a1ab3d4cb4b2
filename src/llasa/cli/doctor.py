"""``llasa doctor``: what is installed, what is missing, and what the model is."""

from __future__ import annotations

import argparse
import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from llasa.cli.options import add_model_flags, print_json, standard_output
from llasa.cli.parser import Parser
from llasa.errors import LlasaError
from llasa.files import folder_megabytes
from llasa.voice import user_folder, voice_files

PACKAGES = (
    *("torch", "numpy", "safetensors", "tokenizers", "huggingface-hub", "soundfile", "soxr"),
    "transformers",
)
CARD_LINES = 12


def doctor_command(doctor: Parser) -> None:
    """Arguments of ``doctor``."""
    add_model_flags(doctor)
    doctor.add_argument("--json", action="store_true", help="one JSON object on stdout")
    doctor.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Look at everything and report; `LlasaError` after it where the model cannot be used."""
    requires = metadata.requires("llasa") if installed("llasa") else None
    report: dict[str, Any] = {
        "versions": versions(),
        "devices": devices(),
        "extras": extras(requires or []),
        "verifiers": verifiers(),
        "model": model(args),
    }
    if args.json:
        print_json(report)
    else:
        with standard_output():
            for title, lines in _pages(report):
                print(title, *lines, sep="\n  ")
    if problem := report["model"].get("problem"):
        raise LlasaError(problem)


def versions() -> dict[str, str | None]:
    """Versions of llasa, Python and the packages that matter; None for a missing one."""
    from llasa import __version__

    packages = {name: installed(name) for name in PACKAGES}
    return {"llasa": __version__, "python": platform.python_version(), **packages}


def installed(package: str) -> str | None:
    """The installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def extras(requires: list[str]) -> dict[str, list[str]]:
    """Packages that are missing, for each extra (`dev` left out)."""
    missing: dict[str, list[str]] = {}
    for requirement in requires:
        found = re.match(r"([\w.-]+).*;.*extra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        if found is None or found[2] == "dev":
            continue
        lacking = missing.setdefault(found[2], [])
        if installed(found[1]) is None:
            lacking.append(found[1])
    return missing


def verifiers() -> dict[str, dict[str, Any]]:
    """What each verifier is, and how to install the packages that it lacks."""
    from llasa.search.verifiers.registry import missing_packages, verifier_names

    return {
        name: {"about": about, "lacks": missing_packages(name)}
        for name, about in verifier_names().items()
    }


def devices() -> list[str]:
    """What can be given as --device."""
    import torch

    cores = os.cpu_count() or 1
    found = [f"cpu: {platform.machine()}, {cores} cores, {torch.get_num_threads()} threads"]
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        found.append(f"cuda:{index}: {about.name}, {about.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        found.append("mps: Apple GPU")
    return found


def model(args: argparse.Namespace) -> dict[str, Any]:
    """Where the model lies, how big it is, what it can and its card; or what is wrong with it."""
    from llasa.hub import NotDownloadedError, is_hub_id
    from llasa.model_folder import find_model

    try:
        found = find_model(args.model, args.codec, download=False)
        found.settings.rule()
        for part in (found.lm, Path(found.codec)):
            remote = not part.is_dir() and is_hub_id(str(part))
            if not remote and not any(part.glob("*.safetensors")):
                raise LlasaError(f"{part} has no weights: the model is not complete.")
    except NotDownloadedError as error:
        return {"name": args.model, "note": str(error)}
    except LlasaError as error:
        return {"name": args.model, "problem": str(error)}
    folder = found.root or found.lm
    voices = voice_files(user_folder(), *found.voices)
    return {
        "name": found.settings.name,
        "folder": str(folder),
        "codec": str(found.codec),
        "megabytes": round(folder_megabytes(folder), 1),
        "cloning": found.settings.cloning,
        "sampling": found.settings.sampling,
        "voices": sorted(voices),
        "default_voice": found.settings.default_voice,
        "card": found.card(),
    }


def _pages(report: dict[str, Any]) -> list[tuple[str, list[str]]]:
    extra_lines = [
        f"{name}: complete"
        if not lacking
        else f"{name}: lacks {', '.join(lacking)}; pip install 'llasa[{name}]'"
        for name, lacking in report["extras"].items()
    ] or ["unknown: llasa runs from its source folder; pip install -e ."]
    about = dict(report["model"])
    card = [line for line in about.pop("card", "").splitlines() if line.strip()]
    return [
        ("Versions", [f"{k}: {v or 'not installed'}" for k, v in report["versions"].items()]),
        ("Devices", report["devices"]),
        ("Extras", extra_lines),
        ("Verifiers", [_verifier_line(*item) for item in report["verifiers"].items()]),
        ("Model", [f"{key}: {_plain(value)}" for key, value in about.items()]),
        *([("Model card", card[:CARD_LINES])] if card else []),
    ]


def _verifier_line(name: str, verifier: dict[str, Any]) -> str:
    line = f"{name}: {verifier['about']}"
    lacks = verifier["lacks"]
    if not lacks:
        return line
    installs = "; ".join(f"pip install {what}" for what in dict.fromkeys(lacks.values()))
    return f"{line}; lacks {', '.join(lacks)}: {installs}"


def _plain(value: object) -> str:
    """A value as text for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        value = [f"{key} {number}" for key, number in value.items()]
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)
