"""What one recording and its text are like, and what is wrong with them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from llasa.audio.audio import Audio, read_audio
from llasa.base.errors import LlasaError
from llasa.base.names import shorten
from llasa.data.manifest import Utterance
from llasa.text import clean_text
from llasa.text.languages import check_language, language_code, language_name

_SILENT = -60.0
"""Level in dB below full scale under which a recording holds no speech."""
_CLIPPED, _FULL = 1e-3, 0.985
"""Share of samples that stand at the peak, one beside another, and how high such a peak is."""


@dataclass(frozen=True)
class Facts:
    """Length (s; NaN where it cannot be read), hash of the sound (0 for none), and findings.

    A finding is its kind and the reason.
    """

    seconds: float = float("nan")
    hash: int = 0
    findings: tuple[tuple[str, str], ...] = ()
    audio: Audio | None = None


def examine(row: Utterance) -> Facts:
    """Read one recording, and look at its text."""
    findings = _text_findings(row)
    if not row.path.exists():
        return Facts(findings=(*findings, ("missing", "It does not exist.")))
    try:
        audio = read_audio(row.path)
    except LlasaError as error:
        return Facts(findings=(*findings, ("corrupt", str(error))))
    findings += _sound_findings(audio)
    digest = hashlib.blake2b(audio.samples.tobytes(), digest_size=8, salt=b"%d" % audio.rate)
    number = int.from_bytes(digest.digest(), "little") | 1
    return Facts(audio.duration, number, tuple(findings), audio)


def _sound_findings(audio: Audio) -> list[tuple[str, str]]:
    if (level := audio.level()) < _SILENT:
        about = "There is no sound in it." if level == -np.inf else f"Its level is {level:.0f} dB."
        return [("silent", about)]
    loudness = np.abs(audio.mono().samples)
    peak = float(loudness.max())
    top = loudness >= peak * 0.999
    share = float((top[1:] & top[:-1]).mean()) if peak > _FULL else 0.0
    return [("clipped", f"{share:.1%} of it stand at full scale.")] if share > _CLIPPED else []


def _text_findings(row: Utterance) -> list[tuple[str, str]]:
    if row.text is None:
        return []
    try:
        text = clean_text(row.text)
    except LlasaError as error:
        return [("text", str(error))]
    try:
        code = language_code(row.language)
    except LlasaError as error:
        return [("language", str(error))]
    if code is not None and check_language(text, "", [code], force=True):
        return [("language", f"It is not all in {language_name(code)}: {shorten(text)}")]
    return []
