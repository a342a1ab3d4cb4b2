"""Speech codec: ``Codec`` for use, ``CodecConfig`` and ``CodecModel`` for training."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llasa.codec.codec import Codec
    from llasa.codec.config import CodecConfig
    from llasa.codec.model import CodecModel

__all__ = ["Codec", "CodecConfig", "CodecModel"]

_HOMES = {"Codec": "codec", "CodecConfig": "config", "CodecModel": "model"}


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``import llasa.codec`` does not load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
