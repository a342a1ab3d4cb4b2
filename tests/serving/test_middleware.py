"""What goes in and out is bounded, in size and in time."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

import httpx
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from llasa.serving import middleware
from llasa.serving.access import Access
from llasa.serving.metrics import Metrics
from llasa.serving.middleware import MAX_JSON, MAX_UPLOAD, RequestMiddleware

read: list[int] = []


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the length of the body."""
    read.clear()
    async for data in Request(scope, receive).stream():
        read.append(len(data))
    await Response(f"{sum(read)} {scope['method']}")(scope, receive, send)


def ask(method: str, app: Any = app, **settings: Any) -> tuple[httpx.Response, str]:
    metrics = Metrics()

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(RequestMiddleware(app, metrics, Access()))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, "/x", **settings)

    answer = asyncio.run(go())
    return answer, metrics.text().decode()


@pytest.mark.parametrize("path", ["/v1/x", "/tts/v1/x"])
def test_below_a_path(path: str) -> None:
    """Whether the proxy takes its path away or not, the same is asked for, and keys are, too."""
    seen: list[tuple[str, str]] = []

    async def note(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["path"], scope["root_path"]))
        await Response("")(scope, receive, send)

    async def go(**headers: str) -> int:
        below = RequestMiddleware(note, Metrics(), Access(["key"]), root_path="/tts")
        transport = httpx.ASGITransport(below)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get(path, headers=headers)).status_code

    assert asyncio.run(go()) == 401
    assert asyncio.run(go(authorization="Bearer key")) == 200
    assert seen == [("/tts/v1/x", "/tts")]


async def pieces(size: int) -> Any:
    """A body whose length nobody tells."""
    for _ in range(size >> 16):
        yield bytes(1 << 16)


FORM = {"content-type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(("headers", "most"), [({}, MAX_JSON), (FORM, MAX_UPLOAD)])
def test_bodies_are_bounded(headers: dict[str, str], most: int) -> None:
    assert ask("POST", content=bytes(most), headers=headers)[0].text == f"{most} POST"
    assert ask("POST", content=bytes(most + 1), headers=headers)[0].status_code == 413
    assert read == []  # it was told, so nothing of it was taken
    assert ask("POST", content=pieces(2 * most), headers=headers)[0].status_code == 413
    assert sum(read) <= most


@pytest.mark.parametrize("status", [200, 503])
def test_who_still_sends_hears_the_answer(status: int) -> None:
    """A refusal comes when all has been taken in; it would be lost with the connection."""
    sent = []

    async def body() -> Any:
        for _ in range(8):
            sent.append(1)
            yield bytes(1 << 16)

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await Response("no", status)(scope, receive, send)

    assert ask("POST", refuse, content=body())[0].status_code == status
    assert len(sent) == (8 if status == 503 else 0)


def test_bodies_must_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.05)

    async def slow() -> Any:
        yield b"a"
        await asyncio.sleep(60)
        yield b"b"

    answer, _ = ask("POST", content=slow())
    assert answer.status_code == 408
    assert "did not come within" in answer.json()["error"]["message"]


def test_head_is_get_without_a_body() -> None:
    answer, metrics = ask("HEAD")
    assert (answer.status_code, answer.headers["content-length"]) == (200, "5")
    assert answer.content == b""
    assert 'method="HEAD"' in metrics


def test_invented_methods_are_one_series() -> None:
    for name in ("INVENTED", "M2"):
        _, metrics = ask(name)
        assert 'method="other"' in metrics
        assert name not in metrics
    assert "_created" not in metrics


class HurriedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next appointment instead of waiting for it."""

    def __init__(self) -> None:
        selector = selectors.DefaultSelector()
        super().__init__(selector)
        self.now = 0.0
        select = selector.select

        def jump(timeout: float | None = None) -> Any:
            self.now += timeout or 0.0
            return select(0)

        selector.select = jump  # type: ignore[method-assign]

    def time(self) -> float:
        return self.now


def test_who_takes_nothing_is_given_up() -> None:
    """Large answers go in pieces, so that who is only slow is no such one."""
    slow = 0.9 * middleware.WRITE_SECONDS
    ended = []

    async def long(scope: Any, receive: Any, send: Any) -> None:
        async def body() -> Any:
            try:
                while True:
                    yield bytes(100 << 10)
            finally:
                ended.append(True)

        await StreamingResponse(body())(scope, receive, send)

    taken: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            taken.append(len(message["body"]))
            await asyncio.sleep(slow if len(taken) < 20 else 10_000)

    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        for message in asked:
            return message
        await asyncio.sleep(10_000)
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    answer = RequestMiddleware(long, Metrics(), Access())(scope, receive, send)
    with asyncio.Runner(loop_factory=HurriedLoop) as runner:
        runner.run(asyncio.wait_for(answer, 5_000))
    assert len(taken) == 20
    assert max(taken) <= 64 << 10
    assert ended
