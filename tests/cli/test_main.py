"""Finding commands, help, and what goes wrong outside of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llasa.cli.main import COMMANDS, command_parser

from .conftest import Run


def test_help(run: Run) -> None:
    for argv in ([], ["--help"], ["-h"]):
        result = run(*argv)
        assert result.code == 0
        for name in COMMANDS:
            assert f"\n  {name} " in result.out.decode()
    assert run("--version").out.startswith(b"llasa ")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command(name: str) -> None:
    text = command_parser(name).format_help()
    assert f"llasa {name}" in text
    assert COMMANDS[name][1][1:] in text


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from llasa.cli.main import main; main(['--help']); main(['say', '--help'])\n"
    )
    check = "print({'torch', 'transformers', 'soundfile', 'tokenizers'} & set(sys.modules))"
    script = f"import sys, atexit\natexit.register(lambda: {check})\n{code}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()", done.stdout + done.stderr


def test_unknown_words(run: Run) -> None:
    assert run("sya", "hello").error.endswith("Did you mean say?")
    assert "Command '--quiet' is unknown" in run("--quiet").error
    assert "--vioce is unknown. Did you mean --voice?" in run("say", "--vioce", "x").error
    assert "put text in quotes" in run("say", "a", "-o", "x.wav", "b").error
    assert "the following arguments are required: audio" in run("encode").error
    assert "invalid float value: 'hot'" in run("say", "--temperature", "hot").error
    assert "--output is unknown" not in run("say", "--out", "x.wav").error  # no abbreviations
