"""What a newcomer can have in five minutes, step by step, in an empty environment.

    python benchmarks/five_minutes.py FOLDER RECORDING [--first torch==2.13.0] [--json out.json]

FOLDER, which must not exist, gets a virtual environment, and everything is done in there, by the
commands of the README: install, speak, serve to the package openai, speak in the voice of
RECORDING (1 to 30 s of one speaker), write subtitles. `--first` is what pip gets before anything
else, such as a build of PyTorch on this disk. Each step is checked by what it made. Prints
a table of wall clock and CPU seconds, of all processes of a step, and the load of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
import time
import urllib.request
import wave
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PORT = 8791
CLIENT = f"""
from openai import OpenAI

client = OpenAI(base_url="http://localhost:{PORT}/v1", api_key="none")
client.audio.speech.create(
    model="tts-1", voice="nova", input="Your order has been shipped.", response_format="wav"
).write_to_file("shipped.wav")
"""
TALK = "This is what I have to say. " * 8 + "It costs $5, and it takes ten minutes."


class Walk:
    """The steps so far, and where they are taken."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rows = folder, list[dict[str, object]]()
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "VIRTUAL_ENV", "LLASA"))
        }
        path = f"{folder / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        own = {"HF_HUB_OFFLINE": "1", "XDG_DATA_HOME": str(folder / "home"), "PATH": path}
        self.environment = clean | own

    def run(self, *command: str) -> None:
        """A command, which must succeed."""
        subprocess.run(command, cwd=self.folder, env=self.environment, check=True)

    def step(self, goal: str, command: str, work: Callable[[], object], made: str = "") -> None:
        """Take the time of one step, and check that it made a sound."""
        before, began = cpu_seconds(), time.perf_counter()
        work()
        wall, spent = time.perf_counter() - began, cpu_seconds() - before
        if made:
            with wave.open(str(self.folder / made)) as sound:
                seconds = sound.getnframes() / sound.getframerate()
            if not 0.5 < seconds < 60:
                raise SystemExit(f"{made} has {seconds:.1f} s: no speech was made.")
        row = {"goal": goal, "command": command, "wall": round(wall, 1), "cpu": round(spent, 1)}
        self.rows.append(row)
        print(f"{goal}: {wall:.1f} s", file=sys.stderr)

    def served(self) -> None:
        """Start a server, speak through the package openai, and stop it."""
        serve = ["llasa", "serve", "--port", str(PORT)]
        with (self.folder / "server.log").open("w") as log:
            server = subprocess.Popen(serve, cwd=self.folder, env=self.environment, stderr=log)
        try:
            while not answers() and server.poll() is None:
                time.sleep(0.1)
            self.run("python", "-c", CLIENT)
        finally:
            server.terminate()
            server.wait()


def cpu_seconds() -> float:
    """Of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def answers() -> bool:
    """Whether the server is ready."""
    try:
        with urllib.request.urlopen(f"http://localhost:{PORT}/ready") as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description="What can be had in five minutes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--first", metavar="REQUIREMENT", help="installed before anything else")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    args.folder.mkdir(parents=True)
    walk, recording = Walk(args.folder.resolve()), str(args.recording.resolve())
    load = [round(os.getloadavg()[0], 1)]
    pip = ("python", "-m", "pip", "install", "-q")

    def shell(goal: str, command: str, made: str = "") -> None:
        walk.step(goal, command, lambda: walk.run(*shlex.split(command)), made)

    make = [sys.executable, "-m", "venv", str(walk.folder / "venv")]
    walk.step("an empty environment", "python -m venv venv", lambda: walk.run(*make))
    if args.first:
        install = f"pip install {args.first}"
        walk.step("PyTorch", install, lambda: walk.run(*pip, *shlex.split(args.first)))
    walk.step("installed", "pip install .", lambda: walk.run(*pip, str(ROOT)))
    shell("heard", 'llasa say "Hello, world." -o hello.wav', "hello.wav")
    shell("heard again", 'llasa say "Read this aloud." --voice george -o aloud.wav', "aloud.wav")
    extras = "pip install '.[serve,search]' openai"
    walk.step(
        "the server's packages", extras, lambda: walk.run(*pip, f"{ROOT}[serve,search]", "openai")
    )
    walk.step("served", "llasa serve, and OpenAI(base_url=...)", walk.served, "shipped.wav")
    own = f"llasa clone {shlex.quote(recording)} 'Is this my voice?' -o mine.wav --save-voice me"
    walk.step(
        "own voice",
        own.replace(recording, "me.wav"),
        lambda: walk.run(*shlex.split(own)),
        "mine.wav",
    )
    shell("own voice by name", 'llasa say "It is kept." --voice me -o kept.wav', "kept.wav")
    (walk.folder / "talk.txt").write_text(TALK)
    shell("subtitles", "llasa say talk.txt -o talk.wav --srt --vtt", "talk.wav")
    if (walk.folder / "talk.srt").read_text().count(" --> ") < 9:
        raise SystemExit("talk.srt lacks subtitles.")
    load.append(round(os.getloadavg()[0], 1))

    print("| | command | wall s | CPU s | wall s since the beginning |\n|---|---|---|---|---|")
    since = 0.0
    for row in walk.rows:
        since += float(str(row["wall"]))
        print(
            f"| {row['goal']} | `{row['command']}` | {row['wall']} | {row['cpu']} | {since:.1f} |"
        )
    print(f"\nLoad of the machine: {load[0]} before, {load[1]} after; {os.cpu_count()} cores.")
    if args.json:
        args.json.write_text(json.dumps({"steps": walk.rows, "load": load}, indent=2) + "\n")


if __name__ == "__main__":
    main()
