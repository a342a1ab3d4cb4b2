"""``llasa doctor``: what is installed, what is missing, and what the model is."""

from __future__ import annotations

import argparse
import platform
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from llasa.audio.formats import FORMATS
from llasa.audio.play import player_names
from llasa.base.errors import LlasaError
from llasa.base.files import folder_megabytes, read_json
from llasa.base.hub import NotDownloadedError, is_hub_id
from llasa.base.names import plain
from llasa.base.packages import has_package
from llasa.base.threads import cores
from llasa.cli.options import add_model_flags, print_json, standard_output
from llasa.cli.parser import Parser
from llasa.lm.config import read_config
from llasa.models.capabilities import CODEC_CONFIG, capabilities
from llasa.models.export.exported import exports_folder
from llasa.models.find import find_model
from llasa.models.voice import user_folder, user_voices, voice_files
from llasa.text.lexicon import lexicon_folder

PACKAGES = (
    *("torch", "numpy", "safetensors", "tokenizers", "huggingface-hub", "soundfile", "soxr"),
    "transformers",
)
ENGINE_PACKAGES = {"torch": "torch", "onnx": "onnxruntime", "vllm": "vllm"}
CARD_LINES = 12


def doctor_command(doctor: Parser) -> None:
    add_model_flags(doctor)
    doctor.add_argument("--json", action="store_true", help="one JSON object on stdout")
    doctor.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the report; then `LlasaError` if the model cannot be used."""
    from llasa import __version__
    from llasa.verifiers.registry import missing_packages, verifier_names

    requires = metadata.requires("llasa") if installed("llasa") else None
    own = {"llasa": __version__, "python": platform.python_version()}
    report: dict[str, Any] = {
        "versions": own | {name: installed(name) for name in PACKAGES},
        "devices": devices(),
        "engines": engines(),
        "sound": sound(),
        "folders": folders(),
        "extras": extras(requires or []),
        "verifiers": {
            name: {"about": about, "lacks": missing_packages(name)}
            for name, about in verifier_names().items()
        },
        "model": model(args),
    }
    if args.json:
        print_json(report)
    else:
        with standard_output():
            for title, lines in _pages(report):
                print(title, *map(plain, lines), sep="\n  ")
    if problem := report["model"].get("problem"):
        raise LlasaError(problem)


def installed(package: str) -> str | None:
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


def engines() -> dict[str, str | None]:
    """What can be given as --engine, and the version of what runs it; None: not installed."""
    return {name: installed(package) for name, package in ENGINE_PACKAGES.items()}


def sound() -> dict[str, list[str]]:
    """What plays sound, the best first, and which files are read and written."""
    packaged = has_package("av")
    formats = [name for name, form in FORMATS.items() if packaged or not form.by_av]
    return {"players": player_names(), "formats": formats}


def folders() -> dict[str, str]:
    """Where the user's files are; nothing for a user without a home."""
    places = {"voices": user_folder, "lexicons": lexicon_folder, "exports": exports_folder}
    try:
        return {name: str(find()) for name, find in places.items()}
    except LlasaError:
        return {}


def devices() -> list[str]:
    """What can be given as --device."""
    try:
        import torch
    except ImportError:
        return [f"cpu: {platform.machine()}, {cores()} cores, for the engine onnx only"]
    found = [f"cpu: {platform.machine()}, {cores()} cores, {torch.get_num_threads()} threads"]
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        found.append(f"cuda:{index}: {about.name}, {about.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        found.append("mps: Apple GPU")
    return found


def model(args: argparse.Namespace) -> dict[str, Any]:
    """Place, size, capabilities and card of the model; or what is wrong with it."""
    try:
        found = find_model(args.model, args.codec, download=False)
        found.settings.rule()
        for part in (found.lm, Path(found.codec)):
            remote = not part.is_dir() and is_hub_id(str(part))
            if not remote and not any(part.glob("*.safetensors")):
                raise LlasaError(f"{part} has no weights: the model is not complete.")
            if not remote:
                read_json(part / CODEC_CONFIG)
        able = capabilities(found)
    except NotDownloadedError as error:
        return {"name": args.model, "note": str(error)}
    except LlasaError as error:
        return {"name": args.model, "problem": str(error)}
    folder = found.root or found.lm
    voices = voice_files(*user_voices(), *found.voices)
    return {
        "name": found.settings.name,
        "folder": str(folder),
        "codec": str(found.codec),
        "megabytes": round(folder_megabytes(folder), 1),
        **able.to_dict(),
        "sampling": found.settings.sampling,
        "fast": _fast(found.lm),
        "voices": sorted(voices),
        "default_voice": found.settings.default_voice,
        "card": found.card(),
    }


def _fast(folder: Path) -> dict[str, str]:
    """What `--fast` multiplies in; nothing for a model that is not here, or without torch."""
    if not folder.is_dir() or not has_package("torch"):
        return {}
    from llasa.lm.precision import fast_products

    return dict(fast_products(read_config(folder)))


def _pages(report: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    versions, about = report["versions"].items(), dict(report["model"])
    card = [line for line in about.pop("card", "").splitlines() if line.strip()]
    extras = [
        f"{name}: " + (f"lacks {', '.join(x)}; pip install 'llasa[{name}]'" if x else "complete")
        for name, x in report["extras"].items()
    ]
    yield "Versions", [f"{name}: {version or 'not installed'}" for name, version in versions]
    yield "Devices", report["devices"]
    kinds = report["engines"].items()
    yield "Engines", [f"{name}: {version or 'not installed'}" for name, version in kinds]
    yield "Sound", [f"{name}: {', '.join(x) or 'nothing'}" for name, x in report["sound"].items()]
    places = [f"{name}: {path}" for name, path in report["folders"].items()]
    yield "Your files", places or ["none: this user has no home folder"]
    yield "Extras", extras or ["unknown: llasa runs from its source folder; pip install -e ."]
    yield "Verifiers", [_verifier_line(*item) for item in report["verifiers"].items()]
    if "default_voice" in about:
        about["default_voice"] = about["default_voice"] or "none"
    yield "Model", [f"{key}: {_plain(value)}" for key, value in about.items()]
    if card:
        yield "Model card", card[:CARD_LINES]


def _verifier_line(name: str, verifier: dict[str, Any]) -> str:
    line, lacks = f"{name}: {verifier['about']}", verifier["lacks"]
    installs = "; ".join(f"pip install {what}" for what in dict.fromkeys(lacks.values()))
    return f"{line}; lacks {', '.join(lacks)}: {installs}" if lacks else line


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        value = [f"{key} {number}" for key, number in value.items()]
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "not known" if value is None else str(value)
