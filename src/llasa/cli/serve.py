"""``llasa serve``."""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from llasa.base.errors import LlasaError
from llasa.cli.options import add_model_flags, load_model, read_file
from llasa.cli.parser import Flags, Parser, add_flags, given
from llasa.lm.open_engine import ENGINES

KEYS = "LLASA_API_KEYS"
TRIM_EVERY = 5.0
"""Seconds."""
LIMITS: Flags = {
    "batch": (int, "N", "parts of texts spoken at the same time (16)"),
    "queue": (int, "N", "requests that may wait; more get a 503 (64)"),
    "max_chars": (int, "N", "longest text of a request (4096)"),
    "max_seconds": (float, "N", "longest speech of a request (600)"),
    "max_candidates": (int, "N", "most candidates of a request (8)"),
}


def serve_command(serve: Parser) -> None:
    serve.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for all (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: 8000)")
    wyoming = "also speak Wyoming, as Home Assistant does, usually at 10200 (needs llasa[wyoming])"
    add_flags(serve, {"wyoming": (int, "PORT", wyoming)})
    proxy = "path below which a proxy shows the server, such as /tts"
    add_flags(serve, {"root_path": (str, "PATH", proxy)})
    serve.add_argument(
        "--strict",
        action="store_true",
        help="refuse unknown fields (default: name them in warnings)",
    )
    add_model_flags(serve, int8=True)
    group = serve.add_argument_group("engine")
    engines = f"{', '.join(ENGINES)} (default: LLASA_ENGINE, else torch)"
    group.add_argument("--engine", choices=ENGINES, help=engines)
    group.add_argument(
        "--engine-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of vLLM, such as gpu_memory_utilization=0.5",
    )
    add_flags(serve.add_argument_group("limits"), LIMITS)
    group = serve.add_argument_group("access")
    keys = f"keys, one a line; also {KEYS}, with commas (default: no key needed)"
    add_flags(group, {"api_keys": (str, "FILE", keys)})
    group.add_argument(
        "--cors", action="append", default=[], metavar="ORIGIN", help="web page that may call"
    )
    group.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name that the server may be called by (default: any; on this machine only and "
        "without keys, localhost)",
    )
    serve.add_argument(
        "--grace",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="what was accepted has so long to finish when the server is stopped (default: 120)",
    )
    serve.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Load the model and serve until SIGTERM or Ctrl-C; what was accepted is finished."""
    try:
        from llasa.serving.access import is_loopback
        from llasa.serving.app import Settings, create_app
        from llasa.serving.middleware import JsonLines
        from llasa.serving.run import listen, serve
        from llasa.serving.scheduler import Limits

        if args.wyoming is not None:
            from llasa.serving.wyoming import WyomingServer
    except ImportError as error:
        extra = "wyoming" if error.name == "wyoming" else "serve"
        raise LlasaError(
            f"The server needs {error.name}, which is not installed: pip install 'llasa[{extra}]'."
        ) from error
    limits = {name.removeprefix("max_"): value for name, value in given(args, *LIMITS).items()}
    if not 0 <= args.grace < float("inf"):
        raise LlasaError(f"--grace is {args.grace:g}: give 0 or more seconds.")
    keys = _keys(args.api_keys)
    hosts = tuple(args.allow_host) or (None if keys or not is_loopback(args.host) else ())
    settings = Settings(
        Limits(**limits), keys, tuple(args.cors), hosts, args.strict, args.root_path or ""
    )
    options = _options(args.engine_option)
    sockets = listen(args.host, args.port)
    home = [] if args.wyoming is None else listen(args.host, args.wyoming, "--wyoming")
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    _keep_small()
    tts = load_model(args, share=2, engine_options=options)
    port = sockets[0].getsockname()[1]
    app = create_app(tts, settings)
    wyoming = WyomingServer(app.state.server, home) if home else None

    def announce() -> None:
        url = _address(args.host, port)
        page = url.replace("0.0.0.0", "localhost").replace("[::]", "localhost")
        stop = f"llasa: open http://{page}/ to hear {tts.name}; Ctrl-C stops the server."
        _announce("running on %s", f"http://{url}", tts.name, stop)
        if home:
            wyoming_url = f"tcp://{_address(args.host, home[0].getsockname()[1])}"
            sentence = f"llasa: clients of the protocol Wyoming may ask {wyoming_url}."
            _announce("Wyoming on %s", wyoming_url, tts.name, sentence)

    serve(app, sockets, args.grace, announce, wyoming)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _announce(entry: str, url: str, model: str, sentence: str) -> None:
    """Where the server is, for the log or for a person."""
    if sys.stderr.isatty():
        print(sentence, file=sys.stderr)
    else:
        logging.getLogger(__name__).info(entry, url, extra={"model": model})


def _keep_small() -> None:
    """Limit glibc's malloc to two arenas, and give freed pages back to the system regularly.

    Otherwise freed memory stays scattered over one arena a thread, and the process grows under load
    for hours.
    """
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        return  # another C library
    libc.mallopt(-8, 2)  # M_ARENA_MAX

    def trim() -> None:
        while True:
            time.sleep(TRIM_EVERY)
            libc.malloc_trim(0)

    threading.Thread(target=trim, name="llasa-trim", daemon=True).start()


def _options(settings: Sequence[str]) -> dict[str, Any]:
    """Names and values, which are JSON or else words."""
    options: dict[str, Any] = {}
    for option in settings:
        name, equals, value = option.partition("=")
        if not equals:
            raise LlasaError(f"--engine-option is {option!r}: give NAME=VALUE.")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def _keys(path: str | None) -> tuple[str, ...]:
    """The keys of the file and of the environment; `LlasaError` for a list that is empty."""
    found: list[str] = []
    lists = {} if path is None else {path: read_file(path).split("\n")}
    if given := os.environ.get(KEYS):
        lists[KEYS] = given.split(",")
    for name, lines in lists.items():
        keys = [key.strip() for key in lines if key.strip()]
        if not keys:
            advice = "give one a line" if name == path else "give keys, with commas, or unset it"
            raise LlasaError(f"{name} holds no key: {advice}.")
        found += keys
    return tuple(found)
