"""The page at / in a real browser: what all of its tests do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("playwright", reason="needs the playwright package")
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.waiting import PATIENCE, wait_for

from .tools import Server

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs the browser chromium")
expect.set_options(timeout=PATIENCE * 1000)


@contextmanager
def launched() -> Iterator[Browser]:
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@contextmanager
def opened(browser: Browser, server: Server) -> Iterator[Page]:
    """The page, which must ask nobody else and log no error."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    context.set_default_timeout(PATIENCE * 1000)
    page, asked, wrong = context.new_page(), list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(server.url)
    yield page
    context.close()
    assert all(url.startswith((server.url, "blob:", "data:")) for url in asked)
    assert wrong == []


def status(page: Page, text: Any) -> None:
    expect(page.get_by_role("status")).to_contain_text(text)


def samples(page: Page) -> int:
    """Length of the sound that can be played."""
    duration = "document.querySelector('#player').duration"
    wait_for(lambda: page.evaluate(duration) > 0)
    return round(24_000 * page.evaluate(duration))
