"""Finding commands, help, and what goes wrong outside of them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

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


SLOW = """
import sys, threading
from pathlib import Path
from llasa.cli import main as cli
from llasa.base.files import atomic_path

def work(args):
    with atomic_path(Path("a.wav")) as temporary:
        temporary.write_bytes(b"half")
        print("begun", flush=True)
        threading.Event().wait(60)

command = cli.command_parser
def slow(name):
    parser = command(name)
    parser.set_defaults(run=work)
    return parser

cli.command_parser = slow
sys.exit(cli.main(["say", "A fox."]))
"""


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.slow
def test_a_stopped_command_tidies_up(tmp_path: Path, stop: signal.Signals, code: int) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", SLOW]
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == b"begun\n"
        assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"]
        process.send_signal(stop)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, b"llasa: Interrupted.\n")
    assert not list(tmp_path.iterdir())


def test_errors_do_not_steer_the_terminal(run: Run) -> None:
    assert run("say", "A fox.", "--voice", "a\x1b[31m\nb").error.count("\\x1b[31m") == 1


def test_a_user_without_a_home(run: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "LLASA_VOICES", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert run("say", "A fox.", "--model", tiny, "--max-seconds", 0.2).code == 0
    assert b"ann" in run("voices", "--model", tiny).out
    assert run("doctor", "--model", tiny).code == 0
    assert "this user has no home folder" in run("say", "A fox.", "--model", "~/m").error
    refusal = run("voices", "add", "bob", "a.wav", "--transcript", "A fox.", "--model", tiny).error
    assert "set LLASA_VOICES to a folder" in refusal
