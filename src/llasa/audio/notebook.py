"""Sound in notebooks: a waveform and a player in one small piece of HTML."""

from __future__ import annotations

import base64
from html import escape

import numpy as np
from numpy.typing import NDArray

_BARS, _HEIGHT = 120, 40
MOST_SECONDS = 300
"""Longer sound gets no player, because a notebook stores each player in its file."""


def player(samples: NDArray[np.float32], mp3: bytes | None, about: str) -> str:
    """HTML without any outside part.

    Args:
        samples: mono, (n,).
        mp3: what is played; None draws only.
        about: a line of text below.
    """
    parts = [_waveform(samples)]
    if mp3 is not None:
        data = base64.b64encode(mp3).decode()
        source = f"data:audio/mpeg;base64,{data}"
        parts.append(f'<audio controls preload="metadata" src="{source}"></audio>')
    parts.append(f"<figcaption>{escape(about)}</figcaption>")
    return f'<figure style="margin:0;max-width:480px">{"".join(parts)}</figure>'


def _waveform(samples: NDArray[np.float32]) -> str:
    """An SVG with a bar for the peak of each small stretch, the loudest one in full height."""
    loud = np.abs(np.pad(samples, (0, -len(samples) % _BARS))).reshape(_BARS, -1)
    peaks = loud.max(axis=1, initial=0.0)
    heights = (peaks / max(float(peaks.max()), 1e-9) * (_HEIGHT - 2)).round().astype(int) + 1
    bars = "".join(f"M{x * 4 + 2} {(_HEIGHT - h) / 2:g}v{h}" for x, h in enumerate(heights))
    return (
        f'<svg viewBox="0 0 {_BARS * 4} {_HEIGHT}" style="width:100%;display:block" role="img" '
        f'aria-label="Waveform"><path d="{bars}" stroke="currentColor" stroke-width="2"/></svg>'
    )
