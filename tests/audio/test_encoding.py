"""Sound to bytes while it is being spoken."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from llasa.audio.encoding import MEDIA_TYPES, StreamEncoder


@pytest.mark.parametrize("format", MEDIA_TYPES)
def test_an_encoder_is_gone_with_who_used_it(format: str) -> None:
    """One that waits for the collector keeps its sound so long: a busy server grew by half."""
    gc.disable()
    try:
        encoder = StreamEncoder(format, 16_000)
        assert encoder.push(np.zeros(16_000, np.float32)) + encoder.finish()
        gone = weakref.ref(encoder)
        del encoder
        assert gone() is None
    finally:
        gc.enable()
