"""Linux desktops: Speech Dispatcher speaks with the module file in `deploy/`."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import threading
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from tests.waiting import PATIENCE, wait_for

from .tools import Server

DAEMON = shutil.which("speech-dispatcher")
MODULE = Path(__file__).parents[2] / "deploy" / "llasa-generic.conf"
TEXT = "It's \"well\" done: 5 % of $20; `id` & $(id) it's <b> over \\ ~ #1."

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        DAEMON is None or shutil.which("spd-say") is None, reason="needs speech-dispatcher"
    ),
]


@dataclass
class Desktop:
    """A daemon whose player writes what it is given to files."""

    environment: dict[str, str]
    heard: Path
    asked: list[dict[str, Any]]

    def say(self, *words: str) -> str:
        """Call the client, and wait until it has been spoken."""
        done = subprocess.run(
            ["spd-say", "-w", "-o", "llasa-generic", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def sounds(self) -> list[Path]:
        """What was played, in order."""
        return sorted(self.heard.iterdir(), key=lambda path: path.stat().st_mtime_ns)


@pytest.fixture
def desktop(server: Server, tmp_path: Path) -> Iterator[Desktop]:
    asked: list[dict[str, Any]] = []

    class Noting(BaseHTTPRequestHandler):
        """Hands over to the server what it is asked, in the voices of the model that it has."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(body)
            answer = server.client.post(self.path, json={**body, "voice": "ann", "seed": 1})
            self.send_response(answer.status_code)
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    noting = ThreadingHTTPServer(("127.0.0.1", 0), Noting)
    threading.Thread(target=noting.serve_forever, daemon=True).start()
    folder, player = tmp_path / "speech-dispatcher", tmp_path / "bin" / "aplay"
    for made in (folder / "modules", player.parent, tmp_path / "heard", tmp_path / "log"):
        made.mkdir(parents=True)
    player.write_text(f'#!/bin/sh\ncat > "{tmp_path}/heard/$$"\n')
    player.chmod(0o755)
    settings = MODULE.read_text().replace("8000", str(noting.server_port))
    (folder / "modules" / MODULE.name).write_text(settings)
    (folder / "speechd.conf").write_text('AudioOutputMethod "alsa"\nAudioALSADevice "null"\n')
    socket = tmp_path / "socket"
    environment = {
        **os.environ,
        "PATH": f"{player.parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_CONFIG_HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "SPEECHD_ADDRESS": f"unix_socket:{socket}",
        "http_proxy": "http://127.0.0.1:9",  # for others than this machine
    }
    how = ("-c", "unix_socket", "-S", str(socket), "-L", str(tmp_path / "log"), "-t", "0")
    with (tmp_path / "out").open("w") as out:
        daemon = subprocess.Popen(
            [str(DAEMON), "-s", "-P", str(tmp_path / "pid"), *how],
            env=environment,
            stdout=out,
            stderr=out,
        )
    try:
        wait_for(lambda: socket.exists() or daemon.poll() is not None)
        assert daemon.poll() is None, (tmp_path / "out").read_text()
        yield Desktop(environment, tmp_path / "heard", asked)
    finally:
        daemon.kill()  # it waits for its clients else
        daemon.wait(PATIENCE)
        noting.shutdown()
        noting.server_close()


def test_what_is_said_is_heard(desktop: Desktop, server: Server) -> None:
    """Whatever the text holds, the shell does not; voice and rate arrive."""
    assert "heart" in desktop.say("-L")
    desktop.say(TEXT)
    desktop.say("-l", "en-US", "-t", "male1", "-r", "100", "Faster.")
    desktop.say("-y", "emma", "-r", "-50", "a")
    assert [body["input"] for body in desktop.asked] == [TEXT, "Faster.", "a"]
    assert [body["voice"] for body in desktop.asked] == ["heart", "george", "emma"]
    assert [body["speed"] for body in desktop.asked] == pytest.approx([1, 2, 2**-0.5])
    sounds = desktop.sounds()
    assert len(sounds) == 3
    for path, body in zip(sounds, desktop.asked, strict=True):
        with wave.open(io.BytesIO(path.read_bytes())) as sound:
            assert (sound.getnchannels(), sound.getsampwidth()) == (1, 2)
            assert len(sound.readframes(10**8)) > 1000
        asked = {**body, "voice": "ann", "seed": 1}
        assert path.read_bytes() == server.client.post("/v1/audio/speech", json=asked).content


def test_a_server_that_refuses_is_silence(desktop: Desktop) -> None:
    desktop.say("... !")
    desktop.say("It goes on.")
    assert [path.stat().st_size > 0 for path in desktop.sounds()] == [False, True]
