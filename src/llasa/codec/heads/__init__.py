"""From the decoder's frames to sound: one file a head, and a line for it in `HEADS`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llasa.codec.heads.harmonic import HarmonicHead
    from llasa.codec.heads.istft import ISTFTHead

HEADS = {"istft": "ISTFTHead", "harmonic": "HarmonicHead"}
"""The class of each ``decoder_head``, in the file of the same name. (Names only: this page is read
without torch.)"""


def build_head(name: str, size: int, hop: int, rate: int) -> ISTFTHead | HarmonicHead:
    """A head with new weights: `size` wide, for frames of `hop` samples at `rate` Hz."""
    made: ISTFTHead | HarmonicHead = getattr(import_module(f"{__name__}.{name}"), HEADS[name])(
        size, hop, rate
    )
    return made
