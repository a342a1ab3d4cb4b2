"""Shared parts of the codec tests: a random X-codec2 of Transformers and clips to feed it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llasa.audio.audio import read_audio

from .tools import RATE, port_codes, port_config, port_sample, randomize, spread_codes


@pytest.fixture(scope="session")
def port(clip: Any) -> Any:
    """``transformers.Xcodec2Model`` with random weights: the oracle of the layouts."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.Xcodec2Model(port_config()).eval()
    randomize(model, seed=1)
    spread_codes(model.quantizer.project_in, lambda: port_codes(model, clip))
    return model


@pytest.fixture(scope="session")
def sample(port: Any, clip: Any) -> Any:
    """What the oracle makes of ``clip``."""
    return port_sample(port, clip)


@pytest.fixture(scope="session")
def port_folder(port: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("port")
    port.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def clip() -> Any:
    """Six seconds of gliding tones, noise and pauses, 300 frames that differ."""
    rng = np.random.default_rng(0)
    time = np.arange(6 * RATE) / RATE
    glide = np.sin(2 * np.pi * (120 * time + 60 * np.sin(3 * time)))
    hiss = rng.normal(size=time.shape) * np.sin(5 * time).clip(0) ** 2
    buzz = np.sign(np.sin(2 * np.pi * 97 * time)) * np.sin(7 * time + 1).clip(0)
    return (0.3 * glide * np.sin(2 * time) + 0.1 * hiss + 0.1 * buzz).astype(np.float32)


@pytest.fixture(scope="session")
def speech() -> Any:
    """Four seconds of a real recording; the test is skipped where the data is missing."""
    folder = Path(os.environ.get("LLASA_DATA", "../shared/data")) / "librispeech"
    files = sorted(folder.glob("*.flac"))
    if not files:
        pytest.skip(f"no real speech in {folder}: set LLASA_DATA")
    return read_audio(files[0]).samples[: 4 * RATE]
