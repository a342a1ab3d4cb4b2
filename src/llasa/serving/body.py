"""Request bodies: a clear error for what is not JSON, and a limit on uploads at the same time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import Response

from llasa.serving.errors import is_full
from llasa.serving.scheduler import BusyError

T = TypeVar("T")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
ADVICE = "send a JSON object in UTF-8 with content-type: application/json"
_MOST_FIELDS, _LONGEST_FIELD = 8, 64 << 10


def parse_object(data: bytes | str) -> dict[str, Any]:
    """The JSON object of a body; `HTTPException` where it is not one."""
    if not data:
        raise HTTPException(400, f"The body is empty: {ADVICE}.")
    try:
        value = json.loads(data)
    except json.JSONDecodeError as error:
        raise HTTPException(
            400, f"The body is not JSON ({error.msg}, character {error.pos}): {ADVICE}."
        ) from error
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"The body is not UTF-8 text: {ADVICE}.") from error
    except (ValueError, RecursionError) as error:  # a number too long, lists in lists
        raise HTTPException(400, f"The body is not JSON that can be read: {ADVICE}.") from error
    if not isinstance(value, dict):
        raise HTTPException(400, f"The body is JSON, but not an object: {ADVICE}.")
    return value


class JsonRoute(APIRoute):
    """A route whose body is a JSON object."""

    def get_route_handler(self) -> Handler:
        """See `APIRoute`."""
        handle = super().get_route_handler()

        async def checked(http: Request) -> Response:
            if not _is_json(http.headers.get("content-type", "")):
                raise HTTPException(415, f"The content-type is not that of JSON: {ADVICE}.")
            request = _JsonRequest(http.scope, http.receive)
            await request.json()
            return await handle(request)

        return checked


class _JsonRequest(Request):
    async def json(self) -> dict[str, Any]:
        return parse_object(await self.body())


def _is_json(kind: str) -> bool:
    kind = kind.partition(";")[0].strip().lower()
    return kind.startswith("application/") and kind.endswith(("/json", "+json"))


class Uploads:
    """What clients send to be worked on, recordings and codes: a few at a time.

    Args:
        most: that may be open, from the first byte of the body on; more are refused.
        threads: that work on them, so that nothing else waits for these.
    """

    def __init__(self, most: int = 16, threads: int = 2) -> None:
        self._most, self._open = most, 0
        self._pool = ThreadPoolExecutor(threads, "llasa-sent")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Room for one; `BusyError` where there is none."""
        if self._open >= self._most:
            raise BusyError("Too many recordings are sent at the same time: try again later.", 5)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    def work(self, job: Callable[[], T]) -> Awaitable[T]:
        """Do something in one of the threads."""
        return asyncio.get_running_loop().run_in_executor(self._pool, job)

    def route(self) -> type[APIRoute]:
        """A class of routes whose body is a form, and which take a place before it is read."""

        class FormRoute(APIRoute):
            def get_route_handler(route) -> Handler:  # noqa: N805
                handle = super().get_route_handler()

                async def placed(http: Request) -> Response:
                    kind = http.headers.get("content-type", "").lower()
                    if not kind.startswith("multipart/form-data"):
                        advice = "send its fields and the recording as multipart/form-data"
                        raise HTTPException(415, f"The body is not a form: {advice}.")
                    with self.place():
                        return await handle(_FormRequest(http.scope, http.receive))

                return placed

        return FormRoute


class _FormRequest(Request):
    async def form(self, **limits: Any) -> FormData:  # type: ignore[override]
        limits = {"max_files": 1, "max_fields": _MOST_FIELDS, "max_part_size": _LONGEST_FIELD}
        try:
            return await super().form(**limits)
        except OSError as error:
            if is_full(error):
                raise HTTPException(507, "The server has no room for this recording.") from error
            raise
