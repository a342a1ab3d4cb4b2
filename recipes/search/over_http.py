"""Has a server speak a list, and judges what it sent beside the same lines spoken without one.

    python recipes/search/over_http.py LIST.jsonl -o http [--model nano] [--judges whisper]

starts a server for it, and leaves `http/manifest.jsonl` and the report of `llasa eval tts`,
`http/judged/report.html`. `--url http://localhost:8765` takes a server that runs already, and
`--no-judging` only speaks. Run it again and judging goes on where it stopped.

Every line has the seed of `llasa eval tts` (0), so that both say the same. `--field NAME=VALUE` is
another field of the request: check=true, normalize=false, voice=george. A server with keys takes
the one in LLASA_API_KEY.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import make_folder, write_atomic
from llasa.cli.main import main as llasa
from llasa.evaluation.items import Item, choose, read_items

SECONDS = 600.0
"""That an answer may take."""
START_SECONDS = 120.0
"""Until a server must be there."""
WARNINGS = "x-llasa-warnings"
"""A header with a list of sentences, in JSON."""


def speak_list(
    client: httpx.Client, items: Sequence[Item], folder: Path, fields: dict[str, Any], jobs: int
) -> list[str]:
    """Write a WAV file an item, then `manifest.jsonl`; returns the server's warnings.

    Raises `LlasaError` for the first answer that is no speech; there is then no manifest.
    """
    manifest = make_folder(folder) / "manifest.jsonl"
    manifest.unlink(missing_ok=True)

    def speak(item: Item) -> list[str]:
        body = {**fields, "input": item.text, "response_format": "wav"}
        try:
            answer = client.post("/v1/audio/speech", json=body)
        except httpx.HTTPError as error:
            raise LlasaError(f"{client.base_url} does not answer: {error}.") from error
        if answer.status_code != 200:
            raise LlasaError(f"Item {item.id} got {answer.status_code}: {answer.text[:500]}")
        write_atomic(folder / f"{item.id}.wav", answer.content)
        return [f"{item.id}: {told}" for told in json.loads(answer.headers.get(WARNINGS, "[]"))]

    with ThreadPoolExecutor(jobs) as pool:
        try:
            warnings = [told for found in pool.map(speak, items) for told in found]
        except LlasaError:
            pool.shutdown(cancel_futures=True)
            raise
    rows = [{"id": item.id, "text": item.text, "audio": f"{item.id}.wav"} for item in items]
    write_atomic(manifest, b"".join(map(jsonl.render, rows)))
    return warnings


@contextmanager
def serving(model: str, log: Path) -> Iterator[str]:
    """The address of a server that runs for as long as it is needed; it writes `log`."""
    command = [sys.executable, "-m", "llasa", "serve", "--port", "0", "--model", model]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr)
    try:
        until = time.monotonic() + START_SECONDS
        while (found := re.search(r"running on (http[^\s\"]+)", log.read_text("utf-8"))) is None:
            if process.poll() is not None or time.monotonic() > until:
                last = (log.read_text("utf-8").splitlines() or ["nothing"])[-1]
                raise LlasaError(f"The server did not start, see {log}: {last}")
            time.sleep(0.1)
        yield found[1]
    finally:
        process.terminate()
        process.wait()


def field(text: str) -> tuple[str, Any]:
    """A name and its value, which is JSON or else a word."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no field: give NAME=VALUE.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("list", type=Path, help='JSONL, {"text": ...} a line')
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--url", help="of a server that runs already")
    parser.add_argument("--model", default="nano", help="of the server and of what is compared")
    parser.add_argument("--judges", default="whisper", metavar="NAMES", help="(whisper)")
    parser.add_argument("--no-judging", action="store_true", help="only speak")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N lines")
    parser.add_argument("--seed", type=int, default=0, help="of every line (0)")
    parser.add_argument("--jobs", type=int, default=4, metavar="N", help="requests at once (4)")
    parser.add_argument("--field", type=field, action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args(arguments)
    for name in ("limit", "jobs"):
        if (value := getattr(args, name)) is not None and value < 1:
            parser.error(f"--{name} must be 1 or more, not {value}.")
    key = os.environ.get("LLASA_API_KEY")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        items, _ = choose(read_items(args.list), None, args.limit, "text")
        log = make_folder(args.output) / "server.log"
        fields = {"seed": args.seed, **dict(args.field)}
        with (
            nullcontext(args.url) if args.url else serving(args.model, log) as url,
            httpx.Client(base_url=url, headers=headers, timeout=SECONDS) as client,
        ):
            warnings = speak_list(client, items, args.output, fields, args.jobs)
    except (LlasaError, httpx.InvalidURL) as error:
        parser.error(str(error))
    print(*warnings, f"{args.output}: {len(items)} files", sep="\n", file=sys.stderr)
    if not args.no_judging:
        peers = f"http={args.output / 'manifest.jsonl'}"
        command = ["eval", "tts", str(args.list), "-o", str(args.output / "judged")]
        command += ["--model", args.model, "--judges", args.judges, "--seed", str(args.seed)]
        limit = [] if args.limit is None else ["--limit", str(args.limit)]
        sys.exit(llasa([*command, *limit, "--peers", peers, "--listen", "0"]))


if __name__ == "__main__":
    main()
