"""Around every request: an id, access control, limits on size and slowness, a log line."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llasa.serving.access import Access
from llasa.serving.errors import StalledError, answer
from llasa.serving.metrics import Metrics

MAX_UPLOAD = 16 << 20
"""Bytes of a form, unless speeches are longer; a recording of 30 s in CD quality has 5 million."""
MAX_JSON = 512 << 10
"""Bytes of any other body; the longest text has 240,000 where each letter is escaped."""
BODY_SECONDS = 60.0
"""Time within which a request body must have arrived."""
WRITE_SECONDS = 20.0
"""A client that reads nothing for this long is disconnected."""
_PIECE = 64 << 10
"""Bytes sent at once, to tell a slow reader from one that reads nothing."""
_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)

log = logging.getLogger("llasa.serving.access")


class RequestMiddleware:
    """ASGI middleware; see `Access` for who may come in.

    root_path: prefix under which a proxy exposes the server, whether it strips it or not.
    upload: bytes that a form may have.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        access: Access,
        root_path: str = "",
        upload: int = MAX_UPLOAD,
    ) -> None:
        self._app, self._root, self._upload = app, root_path, upload
        self._metrics = metrics
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0
        headers, method = Headers(scope=scope), scope.get("method", "WEBSOCKET")
        given = headers.get("x-request-id", "")
        name = given if _ID.fullmatch(given) else uuid.uuid4().hex
        path = self._below_root(scope["path"])
        inner = {**scope, "path": self._root + path, "root_path": self._root}
        if method == "HEAD":
            inner["method"] = "GET"
        incoming = _Incoming(headers, receive, self._upload)

        async def labelled(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                if status >= 400 and scope["type"] == "http":
                    await incoming.drain()
                MutableHeaders(scope=message)["x-request-id"] = name
            if method == "HEAD" and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await _sent(message, send)

        try:
            self._access.check({**scope, "path": path})
            await self._app(inner, incoming, labelled)
        except StalledError:
            log.warning("a client took nothing", extra={"request_id": name})
        except Exception as error:
            if status:
                raise  # too late for another answer: the connection breaks off
            await answer(error)(scope, receive, labelled)
        finally:
            route = getattr(inner.get("route"), "path", "none")
            self._metrics.request(method, route, status)
            log.info(
                "request",
                extra={
                    "request_id": name,
                    "method": method[:20],
                    "path": scope["path"][:200],
                    "status": status,
                    "seconds": round(time.perf_counter() - began, 4),
                },
            )

    def _below_root(self, path: str) -> str:
        """The path without `root_path`, which the proxy may have stripped already."""
        return path.removeprefix(self._root) if path.startswith(f"{self._root}/") else path


class _Incoming:
    """`receive` for a body that may be neither too large nor too slow."""

    def __init__(self, headers: Headers, receive: Receive, upload: int) -> None:
        self._receive, self._upload = receive, upload
        form = headers.get("content-type", "").lower().startswith("multipart/form-data")
        self._most = upload if form else MAX_JSON
        length = headers.get("content-length", "")[:20]
        self._told = int(length) if length.isascii() and length.isdigit() else 0
        self._size, self._more = 0, True
        self._deadline = asyncio.get_running_loop().time() + BODY_SECONDS

    async def __call__(self) -> Message:
        """The next message; `HTTPException` where there should be none."""
        if not self._more:
            return await self._receive()
        message = await self._next() if self._told <= self._most else {}
        if max(self._told, self._size) > self._most:
            most = f"{self._most >> 10:,} kB"
            raise HTTPException(413, f"The body is too large: at most {most} are taken.")
        return message

    async def drain(self) -> None:
        """Read the rest of the body: a client that is still sending does not see the response."""
        with suppress(HTTPException):
            while self._more and max(self._told, self._size) <= self._upload:
                await self._next()

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError as error:
            self._more = False
            slow = f"The body did not come within {BODY_SECONDS:g} s."
            raise HTTPException(408, slow) from error
        self._size += len(message.get("body", b""))
        self._more = message.get("more_body", False)
        return message


async def _sent(message: Message, send: Send) -> None:
    """Send piece by piece; `StalledError` if the client reads nothing."""
    body = message.get("body", b"")
    for start in range(0, len(body) or 1, _PIECE):
        piece = message
        if len(body) > _PIECE:
            more = start + _PIECE < len(body) or message.get("more_body", False)
            piece = {**message, "body": body[start : start + _PIECE], "more_body": more}
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await send(piece)
        except TimeoutError as error:
            raise StalledError from error


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, message, and the record's extra fields."""

    _usual = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in self._usual},
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
