"""Every error as OpenAI's envelope: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import errno
import json
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from llasa.base.errors import LlasaError
from llasa.serving.scheduler import BusyError
from llasa.text.languages import UnknownLanguageError

log = logging.getLogger(__name__)

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
}
_LONGEST = 1000
"""Characters of a message; what quotes more of a request is cut."""


class NotFoundError(LlasaError):
    """What was named is not here: 404 instead of 400."""


class StalledError(Exception):
    """The client has stopped reading its answer."""


def envelope(error: BaseException) -> tuple[int, dict[str, Any]]:
    """Status and body for an error."""
    status, param, code = 500, None, None
    message = "Something went wrong in the server; its log says more."
    if isinstance(error, RequestValidationError):
        status, (message, param) = 400, _validation(error)
    elif isinstance(error, NotFoundError):
        status, message = 404, str(error)
    elif isinstance(error, UnknownLanguageError):
        message = str(UnknownLanguageError(error.problem, 'the field "force": true'))
        status, code = 400, "unknown_language"
    elif isinstance(error, LlasaError):
        status, message = (507 if is_full(error.__cause__) else 400), str(error)
    elif is_full(error):
        status, message = 507, "The server has no room left for files."
    elif isinstance(error, BusyError):
        status, message, code = 503, str(error), "overloaded"
    elif isinstance(error, HTTPException):
        status, message = error.status_code, str(error.detail)
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 2 :]}"
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return status, {"error": {"message": message, "type": kind, "param": param, "code": code}}


def answer(error: BaseException) -> Response:
    """The response for an error; faults of the server are logged."""
    status, body = envelope(error)
    headers = dict(getattr(error, "headers", None) or {})
    if isinstance(error, BusyError):
        headers["retry-after"] = str(error.retry_after)
    elif status >= 500:
        log.error("a request failed", exc_info=error)
    # ASCII: half a surrogate pair, as JSON may hold, cannot be written as UTF-8.
    return Response(json.dumps(body), status, headers, "application/json")


def is_full(error: BaseException | None) -> bool:
    """Whether a disk or a quota is to blame."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def add_error_handlers(app: FastAPI) -> None:
    """Answer the errors of the app so; the others reach `RequestMiddleware`."""

    async def handle(request: Request, error: Exception) -> Response:
        return answer(error)

    for kind in (RequestValidationError, LlasaError, BusyError, HTTPException):
        app.add_exception_handler(kind, handle)


def _validation(error: RequestValidationError) -> tuple[str, str | None]:
    """The first problem as a sentence, and the field it is about."""
    first = error.errors()[0]
    place = ".".join(str(step) for step in first["loc"][1:]) or None
    message = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    return (f"{place}: {message}." if place else f"{message}."), place
