"""Listening sockets, and a server that finishes accepted requests before it stops."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI

from llasa.base.errors import LlasaError
from llasa.serving.middleware import MAX_JSON, WRITE_SECONDS
from llasa.serving.state import ServerState

if TYPE_CHECKING:
    from llasa.serving.wyoming import WyomingServer


def listen(host: str, port: int, flag: str = "--port") -> list[socket.socket]:
    """Sockets for all addresses of a host; port 0 takes a free one. `flag` is how it was given.

    Raises `LlasaError` where the host is not of this machine, or the port is taken or forbidden.
    """
    if not 0 <= port <= 65535:
        raise LlasaError(f"{flag} is {port}: give 0 to 65535.")
    advice = "give a name or an address of this machine, such as 127.0.0.1 or 0.0.0.0"
    try:
        if not host:
            raise UnicodeError
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise LlasaError(f"--host is {host!r}, which is unknown: {advice}.") from error
    sockets: list[socket.socket] = []
    for family, *_, address in dict.fromkeys(found):
        own = socket.socket(family, socket.SOCK_STREAM)
        sockets.append(own)
        try:
            _prepare(own)
            own.bind((address[0], port, *address[2:]))
        except OSError as error:
            for one in sockets:
                one.close()
            raise LlasaError(_refused(error, host, port, flag, advice)) from error
        port = own.getsockname()[1]  # the same for the host's other addresses
    return sockets


def _prepare(own: socket.socket) -> None:
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if own.family == socket.AF_INET6:
        own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # who takes nothing is cut off, even at the end
        milliseconds = round(1000 * WRITE_SECONDS)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def _refused(error: OSError, host: str, port: int, flag: str, advice: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use: give another {flag}, or 0 for a free one."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Port {port} of {host} is not allowed here: give a {flag} from 1024 on."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host is {host!r}, which is not of this machine: {advice}."
    return f"{host}, port {port}, cannot be used: {error.strerror}."


def serve(
    app: FastAPI,
    sockets: list[socket.socket],
    grace: float,
    on_start: Callable[[], object],
    wyoming: WyomingServer | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C, and then for `grace` seconds at most."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        log_level=logging.WARNING,
        ws_max_size=MAX_JSON,
    )
    _Server(config, app.state.server, grace, on_start, wyoming).run(sockets)


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        grace: float,
        on_start: Callable[[], object],
        wyoming: WyomingServer | None,
    ) -> None:
        super().__init__(config)
        self._state, self._grace, self._on_start = state, grace, on_start
        self._wyoming = wyoming

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, then announce it."""
        await super().startup(sockets)
        if self._wyoming is not None:
            await self._wyoming.start()
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop as uvicorn does, after conversations have ended, and all within the grace period."""
        ends = time.monotonic() + self._grace
        for server in self.servers:
            server.close()
        if self._wyoming is not None:
            self._wyoming.refuse()
        finishing = asyncio.create_task(self._state.finish(self._grace))
        while not finishing.done() and not self.force_exit:
            await asyncio.sleep(0.05)
        finishing.cancel()
        if self._wyoming is not None:
            await self._wyoming.stop()
        self.config.timeout_graceful_shutdown = max(1, round(ends - time.monotonic()))
        await super().shutdown(sockets)
