"""Frameworks of voice agents, unmodified: their plugins for OpenAI's speech get sound from here.

They pin what we do not, so that they are installed in an environment of their own, the Python of
which `LLASA_CLIENTS` names; `.ci/run` makes one.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from llasa.models.find import shipped_models
from tests.waiting import PATIENCE

from .tools import Server, serving

PYTHON = os.environ.get("LLASA_CLIENTS", "")
AGENTS = Path(__file__).with_name("agents")
TEXT = "The door is open. Come in."

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="LLASA_CLIENTS names no Python with other programs"),
    pytest.mark.skipif(not shipped_models(), reason="the default model is not here"),
]


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(Path("nano"), tmp_path_factory.mktemp("voices")) as running:
        yield running


@pytest.mark.parametrize("model", ["tts-1", "gpt-4o-mini-tts"])  # sound, and server-sent events
@pytest.mark.parametrize("program", ["livekit", "pipecat"])
def test_plugin(nano: Server, program: str, model: str) -> None:
    done = subprocess.run(
        [PYTHON, AGENTS / f"{program}_client.py", nano.url, model, TEXT],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["rate"] == 24_000
    assert 1 < told["seconds"] < 5
