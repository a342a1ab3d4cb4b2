"""The page at / in a real browser: what all of its tests do."""

from __future__ import annotations

import base64
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
    context.set_default_navigation_timeout(PATIENCE * 1000)
    page, asked, wrong = context.new_page(), list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(server.url)
    yield page
    context.close()
    assert all(url.startswith((server.url, "blob:", "data:")) for url in asked)
    assert wrong == []


def status(page: Page, text: Any, place: str = "status") -> None:
    """Wait until a line for messages, that of the speech or of another part, says something."""
    expect(page.locator(f"#{place}")).to_contain_text(text)


def advanced(page: Page) -> None:
    """Open the settings that few need."""
    page.get_by_text("Advanced", exact=True).click()


def candidates(page: Page, number: int) -> None:
    """Ask for so many."""
    page.get_by_label("Candidates", exact=True).fill(str(number))


def drop(page: Page, name: str, data: bytes, kind: str = "") -> None:
    """Let go of a file over the page."""
    page.evaluate(
        """([name, data, type]) => {
            const files = new DataTransfer(), raw = atob(data)
            const bytes = Uint8Array.from(raw, char => char.charCodeAt(0))
            files.items.add(new File([bytes], name, {type}))
            document.querySelector('#input').dispatchEvent(
                new DragEvent('drop', {dataTransfer: files, cancelable: true, bubbles: true}))
        }""",
        [name, base64.b64encode(data).decode(), kind],
    )


def samples(page: Page) -> int:
    """Length of the sound that can be played."""
    duration = "document.querySelector('#player').duration"
    wait_for(lambda: page.evaluate(duration) > 0)
    return round(24_000 * page.evaluate(duration))
