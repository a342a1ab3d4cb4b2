"""Speech synthesis with nothing but a Llama.

import llasa

tts = llasa.load()
tts("Hello, world.").save("hello.wav")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llasa.audio.audio import Audio, read_audio
    from llasa.base.errors import LlasaError
    from llasa.codec.codec import Codec
    from llasa.models.find import load_codec
    from llasa.models.voice import Voice
    from llasa.search.strategies import beam, best_of_n, partial_search, sample
    from llasa.tts.check import Checked
    from llasa.tts.chunks import AudioChunk
    from llasa.tts.llasa import Llasa, from_pretrained, load
    from llasa.tts.play_live import play
    from llasa.tts.speech import Speech
    from llasa.tts.timing import Timings, Word

    __version__: str

__all__ = [
    "Audio",
    "AudioChunk",
    "Checked",
    "Codec",
    "Llasa",
    "LlasaError",
    "Speech",
    "Timings",
    "Voice",
    "Word",
    "__version__",
    "beam",
    "best_of_n",
    "from_pretrained",
    "load",
    "load_codec",
    "partial_search",
    "play",
    "read_audio",
    "sample",
]

_HOMES = {
    "Audio": "audio.audio",
    "AudioChunk": "tts.chunks",
    "Checked": "tts.check",
    "Codec": "codec.codec",
    "Llasa": "tts.llasa",
    "LlasaError": "base.errors",
    "Speech": "tts.speech",
    "Timings": "tts.timing",
    "Voice": "models.voice",
    "Word": "tts.timing",
    "beam": "search.strategies",
    "best_of_n": "search.strategies",
    "from_pretrained": "tts.llasa",
    "load": "tts.llasa",
    "load_codec": "models.find",
    "partial_search": "search.strategies",
    "play": "tts.play_live",
    "read_audio": "audio.audio",
    "sample": "search.strategies",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``import llasa`` loads neither torch nor numpy."""
    if name == "__version__":
        from importlib import metadata

        try:
            return metadata.version("llasa")
        except metadata.PackageNotFoundError:
            return "0 (not installed)"
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
