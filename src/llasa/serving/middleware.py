"""Around every request: an id, the key, the size of the body, a line in the log."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import time
import uuid
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llasa.serving.errors import answer
from llasa.serving.metrics import Metrics

MAX_BODY = 16 << 20
"""Bytes of a request; a recording of 30 s in CD quality has 5 million."""
_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)

log = logging.getLogger("llasa.serving.access")


class Gate:
    """ASGI middleware; `keys` may be empty: then everybody may come in."""

    def __init__(self, app: ASGIApp, metrics: Metrics, keys: Iterable[str] = ()) -> None:
        self._app = app
        self._metrics = metrics
        self._keys = [_digest(key) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers, began, status, size = Headers(scope=scope), time.perf_counter(), 0, 0
        given = headers.get("x-request-id", "")
        name = given if _ID.fullmatch(given) else uuid.uuid4().hex

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY:
                raise HTTPException(413, f"The body has more than {MAX_BODY >> 20} MB.")
            return message

        async def labelled(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = name
            await send(message)

        try:
            if self._keys and scope["path"].startswith("/v1") and not self._knows(headers):
                bearer = {"www-authenticate": "Bearer"}
                raise HTTPException(401, "The API key is missing or wrong.", bearer)
            await self._app(scope, bounded, labelled)
        except Exception as error:
            if status:
                raise  # too late for another answer: the connection breaks off
            await answer(error)(scope, receive, labelled)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope.get("method", "WEBSOCKET")
            self._metrics.requests.labels(method, route, status).inc()
            log.info(
                "request",
                extra={
                    "request_id": name,
                    "method": method,
                    "path": scope["path"],
                    "status": status,
                    "seconds": round(time.perf_counter() - began, 4),
                },
            )

    def _knows(self, headers: Headers) -> bool:
        """Whether one of the keys was given; takes the same time for all wrong ones."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = _digest(key.strip())
        right = [hmac.compare_digest(given, digest) for digest in self._keys]
        return any(right) and scheme.lower() == "bearer"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, message, and what came with it."""

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
