"""The images' build files fit the project; nothing here builds an image."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

import pytest
import yaml

from llasa.cli.main import command_parser

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "Dockerfile", ROOT / "deploy" / "vllm.Dockerfile"]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = SETTINGS["project"]
IGNORED = (ROOT / ".dockerignore").read_text("utf-8").split()


def steps(file: Path) -> list[tuple[str, str]]:
    """Instructions and what follows them, each on one line."""
    text = re.sub(r"^#.*\n", "", file.read_text("utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    found = (line.strip().partition(" ") for line in lines if line.strip())
    return [(word, rest.strip()) for word, _, rest in found]


def each(file: Path, name: str) -> list[str]:
    return [rest for word, rest in steps(file) if word == name]


def ignored(path: str) -> bool:
    """Whether the last line of .dockerignore that fits the path or a folder above leaves it out."""
    names = [path, *map(str, PurePosixPath(path).parents)]
    lines = [line for line in IGNORED if any(fnmatch(name, line.lstrip("!")) for name in names)]
    return bool(lines) and not lines[-1].startswith("!")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_is_copied_is_there(file: Path) -> None:
    copied = [path for rest in each(file, "COPY") if "--from" not in rest for path in rest.split()]
    sources = [path for path in copied if not path.startswith(".")]
    assert {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], "src"} == set(sources)
    for source in sources:
        assert (ROOT / source).exists()
    assert {file.name for file in ROOT.iterdir() if not ignored(file.name)} == set(sources)


def test_what_no_wheel_has_is_not_sent() -> None:
    excluded = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]["exclude"]
    assert excluded
    assert all(ignored(f"{path}/config.json") for path in excluded)
    assert ignored("src/llasa/base/__pycache__/errors.cpython-311.pyc")
    assert not ignored("src/llasa/assets/nano/config.json")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_extras_exist(file: Path) -> None:
    (extras,) = re.findall(r"'\.\[(.+?)\]'", " ".join(each(file, "RUN")))
    assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_command_line_is_valid(file: Path) -> None:
    words = [
        word
        for name in ("ENTRYPOINT", "CMD")
        for rest in each(file, name)
        for word in json.loads(rest)
    ]
    program, command, *flags = words
    assert program in PROJECT["scripts"]
    args = command_parser(command).parse(flags)
    assert args.host == "0.0.0.0"  # else nobody outside reaches it
    exposed = {int(port) for rest in each(file, "EXPOSE") for port in rest.split()}
    assert exposed == {args.port, args.wyoming} - {None}
    (check,) = each(file, "HEALTHCHECK")
    assert f"http://localhost:{args.port}/ready" in check
    assert '"/ready"' in (ROOT / "src/llasa/serving/app.py").read_text("utf-8")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_its_user_can_write_to_the_volume(file: Path) -> None:
    (user,) = each(file, "USER")
    (volume,) = each(file, "VOLUME")
    made = " ".join(each(file, "RUN"))
    (name,) = re.findall(rf"useradd .*?--uid {user} .*?(\w+) +&&", made)
    assert f"install -d -o {name} -g {name} {volume}" in made
    words = [word for word, _ in steps(file)]
    assert max(i for i, word in enumerate(words) if word == "RUN") < words.index("USER")
    assert words.index("USER") < words.index("VOLUME")
    (environment,) = each(file, "ENV")
    assert f"LLASA_VOICES={volume}" in environment.split()


def test_deployments_of_the_image_know_its_user() -> None:
    image = FILES[1]
    (user,) = each(image, "USER")
    replica = yaml.safe_load((image.parent / "docker-compose.yaml").read_text("utf-8"))
    mounted = [one.partition(":")[2] for one in replica["services"]["llasa-0"]["volumes"]]
    made = " ".join(each(image, "RUN")).split()
    assert mounted
    assert all(folder in made for folder in mounted)  # by its user, else root alone may write
    pods, *_ = yaml.safe_load_all((image.parent / "kubernetes.yaml").read_text("utf-8"))
    told = pods["spec"]["template"]["spec"]["securityContext"]
    assert told == {"runAsNonRoot": True, "fsGroup": int(user)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_whether_it_is_well_is_asked_without_a_proxy(file: Path) -> None:
    check = json.loads(each(file, "HEALTHCHECK")[0].partition("CMD ")[2])

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/ready" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("localhost", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code = check[-1].replace("8000", str(server.server_port))
        environment = {**os.environ, "http_proxy": "http://127.0.0.1:9"}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        server.shutdown()


def test_stages_pass_on_what_they_make() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    ((stage, made, kept),) = re.findall(r"COPY --from=(\S+) (\S+) (\S+)", text)
    images = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", text, re.MULTILINE)
    assert images[0][1] == stage
    assert images[0][0] == images[1][0]  # an environment is bound to its Python
    assert made == kept  # and to its place
    assert f"venv --without-pip {made}" in text
    assert f"PATH={made}/bin:$PATH" in text
    version = re.search(r"python:([\d.]+)", images[0][0])
    assert version is not None
    assert set(re.findall(r"lib/python([\d.]+)/", text)) == {version[1]}
    assert version[1] == PROJECT["requires-python"].removeprefix(">=")
