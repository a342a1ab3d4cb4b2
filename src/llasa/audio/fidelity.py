"""STOI and PESQ: how close decoded speech is to the original."""

from __future__ import annotations

import math
import warnings
from typing import Literal

from llasa.audio.audio import Samples
from llasa.base.errors import LlasaError
from llasa.base.packages import require

_NO_STOI = 1e-5
"""What pystoi returns, with a warning, where there is too little speech."""
_PESQ_RATES = {"wb": (16_000,), "nb": (8_000, 16_000)}


def stoi(original: Samples, decoded: Samples, rate: int) -> float:
    """Short-time objective intelligibility (Taal et al. 2011), 0 to 1; NaN with too little speech.

    Both float32 (n,) of the same length at `rate` Hz. Raises `LlasaError` without pystoi.
    """
    measure = require("pystoi").stoi
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = float(measure(original, decoded, rate))
    return math.nan if value == _NO_STOI else value


def pesq(original: Samples, decoded: Samples, rate: int, band: Literal["wb", "nb"]) -> float:
    """Perceptual quality (ITU-T P.862, P.862.2), 1 to 4.64; NaN for silence and very short clips.

    `band` wb takes 16 kHz only, nb also 8 kHz. Raises `LlasaError` for other rates or without pesq.
    """
    package = require("pesq")
    if rate not in _PESQ_RATES[band]:
        raise LlasaError(f"PESQ ({band}) is not defined at {rate} Hz: resample to 16000.")
    silent = package.PesqError.RETURN_VALUES
    value = float(package.pesq(rate, original, decoded, band, on_error=silent))
    return value if value > 0 else math.nan
