"""An engine is chosen by name; what does not fit it is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from llasa.base.errors import LlasaError
from llasa.tts.llasa import Llasa


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "vlm"}, "The engine 'vlm' is unknown: valid are torch, vllm"),
        ({"engine_options": {"seed": 1}}, "engine torch takes no options"),
        ({"engine": "vllm", "int8": True}, "int8 is for the engine torch"),
        ({"engine": "vllm", "fast": True}, "fast is for the engine torch"),
        ({"int8": True, "fast": True}, "give one of them"),
        ({"engine": "vllm"}, r"needs vLLM 0.32.*: pip install 'llasa\[vllm\]'"),
    ],
)
def test_what_does_not_fit_is_refused(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], message: str
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(LlasaError, match=message):
        Llasa.load(tiny, device="cpu", **settings)
