"""Where the server listens."""

from __future__ import annotations

import argparse
import errno
import os
import re
import signal
import socket
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("uvicorn", reason="needs the extra serve")

from llasa.base.errors import LlasaError
from llasa.cli.main import command_parser
from llasa.cli.serve import KEYS, run
from llasa.serving import run as run_module
from llasa.serving.run import listen
from tests.waiting import PATIENCE


def test_a_free_port_the_same_for_all_addresses() -> None:
    sockets = listen("localhost", 0)
    try:
        assert len({own.getsockname()[1] for own in sockets}) == 1
        assert sockets[0].getsockname()[1] > 0
    finally:
        for own in sockets:
            own.close()


@pytest.mark.parametrize(
    ("host", "port", "sentence"),
    [
        ("127.0.0.1", 99999, "--port is 99999: give 0 to 65535."),
        ("127.0.0.1", -1, "--port is -1"),
        ("", 0, "--host is '', which is unknown: give a name or an address"),
        ("no such host", 0, "--host is 'no such host', which is unknown"),
        ("a" * 300, 0, "which is unknown"),
        ("192.0.2.1", 0, "which is not of this machine"),
    ],
)
def test_where_it_cannot_listen(host: str, port: int, sentence: str) -> None:
    with pytest.raises(LlasaError) as refused:
        listen(host, port)
    assert sentence in str(refused.value)


def test_a_port_in_use() -> None:
    (own,) = listen("127.0.0.1", 0)
    with own:
        own.listen()
        port = own.getsockname()[1]
        with pytest.raises(LlasaError, match=f"Port {port} of 127.0.0.1 is in use: give another"):
            listen("127.0.0.1", port)


def test_a_port_that_needs_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(LlasaError, match="Port 80 of 127.0.0.1 is not allowed here"):
        listen("127.0.0.1", 80)


@pytest.mark.parametrize(
    ("flags", "keys", "sentence"),
    [
        ([], " , ", f"{KEYS} holds no key"),
        (["--api-keys", "EMPTY"], "", "holds no key: give one a line"),
        (["--port", "99999"], "", "--port is 99999"),
        (["--wyoming", "99999"], "", "--wyoming is 99999: give 0 to 65535."),
        (["--root-path", "tts"], "", "--root-path is 'tts': begin it with a slash"),
        (["--root-path", "/"], "", "--root-path is '/'"),
        (["--grace", "-1"], "", "--grace is -1"),
        (["--grace", "nan"], "", "--grace is nan"),
    ],
)
def test_what_is_wrong_is_said_before_the_model_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], keys: str, sentence: str
) -> None:
    (tmp_path / "EMPTY").write_text("\n \n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(KEYS, keys)

    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("the model is read")

    monkeypatch.setattr("llasa.cli.serve.load_model", read)
    args: argparse.Namespace = command_parser("serve").parse(flags)
    with pytest.raises(LlasaError, match=sentence):
        run(args)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_on_a_terminal_it_says_what_to_open(tiny: Path, tmp_path: Path) -> None:
    import pty

    outer, inner = pty.openpty()
    command = ["serve", "--host", "0.0.0.0", "--port", "0", "--model", str(tiny)]
    environment = {**os.environ, "LLASA_VOICES": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "llasa", *command], stderr=inner, env=environment
    )
    os.close(inner)
    told = rf"llasa: open (http://localhost:\d+/) to hear {tiny.name}; Ctrl-C stops the server\."
    with open(outer, encoding="utf-8") as terminal:
        try:
            (found,) = islice(filter(None, (re.search(told, line) for line in terminal)), 1)
            assert httpx.get(found[1], timeout=PATIENCE).status_code == 200
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130


@pytest.mark.parametrize("page", sorted(Path(run_module.__file__).with_name("static").iterdir()))
def test_pages_ask_for_what_lies_beside_them(page: Path) -> None:
    """A proxy may put all of it below a path; then what begins with a slash is another site's."""
    text = page.read_text("utf-8")
    assert not re.search(r"""["'`(]/(?:v1|docs|openapi|health)|location\\.origin""", text)
