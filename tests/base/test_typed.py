"""What mypy sees in a user's program: types of the installed package, which `py.typed` allows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

PROGRAM = """
import llasa

tts = llasa.load("nano", device="cpu", engine="onnx")
speech = tts("Hello.", seed=1, speed=1.5)
first, second = tts(["One.", "Two."], voice="george", seed=[1, 2])
starts: list[float] = [word.start for word in (*speech.words, *first.words)]
for chunk in tts.stream("Hello there.", voice="george"):
    seconds: float = chunk.samples.size / chunk.rate
speech.save("hello.wav")
try:
    tts.clone("me.wav").save("me.safetensors")
except llasa.LlasaError as error:
    print(error)
"""
WRONG = """
import llasa

llasa.load()("Hello.", sped=2)
"""


@pytest.mark.slow
def test_a_users_program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text(WRONG)
    environment = {name: value for name, value in os.environ.items() if name != "MYPYPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "program.py", "wrong.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    *said, last = done.stdout.splitlines()
    assert 'wrong.py:4: error: Unexpected keyword argument "sped"' in said[0]
    assert all(line.startswith("wrong.py:4:") for line in said), done.stdout
    assert "in 1 file (checked 2 source files)" in last
