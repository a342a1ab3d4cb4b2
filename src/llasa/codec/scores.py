"""How near decoded speech is to the original: STOI and PESQ."""

from __future__ import annotations

import math
import warnings
from typing import Literal

from llasa.audio import Samples
from llasa.errors import LlasaError

_NO_STOI = 1e-5
"""What pystoi returns, with a warning, where there is too little speech."""
_PESQ_RATES = {"wb": (16_000,), "nb": (8_000, 16_000)}


def stoi(original: Samples, decoded: Samples, rate: int) -> float:
    """Short-time objective intelligibility (Taal et al. 2011), 0 to 1; NaN with too little speech.

    Both float32 (n,) of the same length at `rate` Hz. Raises `LlasaError` without pystoi.
    """
    try:
        from pystoi import stoi as measure
    except ImportError as error:
        raise LlasaError("STOI needs the package pystoi: run pip install 'llasa[eval]'.") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = float(measure(original, decoded, rate))
    return math.nan if value == _NO_STOI else value


def pesq(original: Samples, decoded: Samples, rate: int, band: Literal["wb", "nb"]) -> float:
    """Perceptual quality (ITU-T P.862, P.862.2), 1 to 4.64; NaN for silence and very short clips.

    `band` wb takes 16 kHz only, nb also 8 kHz. Raises `LlasaError` for other rates or without pesq.
    """
    try:
        import pesq as package
    except ImportError as error:
        raise LlasaError("PESQ needs the package pesq: run pip install 'llasa[eval]'.") from error
    if rate not in _PESQ_RATES[band]:
        raise LlasaError(f"PESQ ({band}) is not defined at {rate} Hz: resample to 16000.")
    silent = package.PesqError.RETURN_VALUES
    value = float(package.pesq(rate, original, decoded, band, on_error=silent))
    return value if value > 0 else math.nan
