"""What a person does with the page at /."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("playwright", reason="needs the playwright package")
from playwright.sync_api import Browser, Page, expect

from llasa.tts.llasa import Llasa
from tests.waiting import PATIENCE, wait_for

from .browser import advanced, candidates, needs_browser, opened, samples, status
from .tools import Server, serving

pytestmark = [pytest.mark.slow, needs_browser]
KEY = "a key"
BELOW = "/it's&(tts)/"
WATCH = """() => {
    window.shown = []
    const status = document.querySelector('#status')
    new MutationObserver(() => shown.push(status.textContent)).observe(
        status, {childList: true, characterData: true, subtree: true})
}"""
"""Collects what the status line says, however briefly."""


def test_speaks_while_it_is_spoken_and_remembers(page: Page, server: Server) -> None:
    status(page, "Ready")
    page.get_by_label("Text", exact=True).fill("A fox runs. The lazy dog sleeps. " * 4)
    page.get_by_label("Voice", exact=True).select_option("ann")
    advanced(page)
    page.get_by_label("Seed", exact=True).fill("3")
    page.evaluate(WATCH)
    page.keyboard.press("Control+Enter")
    status(page, "Done")
    assert any("Speaking" in shown for shown in page.evaluate("shown"))
    expect(page.locator("#about")).to_have_text("seed 3")
    body = {"input": "A fox runs. The lazy dog sleeps. " * 4, "voice": "ann", "seed": 3}
    answer = server.client.post("/v1/audio/speech", json={**body, "response_format": "pcm"})
    assert samples(page) == len(answer.content) // 2
    drawn = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(x => x)"
    assert page.locator("#stage canvas").evaluate(drawn)
    page.reload()
    page.locator("#history .open").click()
    expect(page.get_by_label("Seed", exact=True)).to_have_value("3")
    assert samples(page) == len(answer.content) // 2
    page.get_by_role("button", name="Clear history").click()
    expect(page.get_by_text("What you speak is kept here")).to_be_visible()


@pytest.fixture
def below(server: Server) -> Iterator[str]:
    """The server behind a proxy that puts it below a path of another site."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(BELOW):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            own = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
            answer = server.client.request(
                self.command, self.path[len(BELOW) - 1 :], content=body, headers=own
            )
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers["content-type"])
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://localhost:{proxy.server_port}{BELOW}"
        proxy.shutdown()


def test_requests_are_described(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/docs")
    expect(page.get_by_role("heading", name="POST /v1/audio/speech")).to_be_visible()
    speed = page.get_by_role("row", name="speed").first  # of several requests
    expect(speed).to_contain_text("number from 0.25 to 4")
    expect(speed).to_contain_text("Left out: 1. The pitch stays.")
    expect(page.get_by_role("row", name="audio_sample")).to_contain_text("Required.")
    for path in server.client.get("/openapi.json").json()["paths"]:
        expect(page.get_by_text(path, exact=False).first).to_be_visible()


def test_below_a_path_of_another_site(browser: Browser, below: str) -> None:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    page.goto(below)
    status(page, "Ready")
    page.get_by_role("button", name="Speak").click()
    status(page, "Done")
    page.get_by_role("button", name="Copy as curl").click()
    assert shlex.split(page.locator("#code").inner_text())[:2] == [
        "curl",
        f"{below}v1/audio/speech",
    ]
    page.get_by_role("button", name="Copy as Python").click()
    expect(page.locator("#code")).to_contain_text(f'base_url="{below}v1"')
    context.close()


def test_candidates_side_by_side(page: Page) -> None:
    status(page, "Ready")
    candidates(page, 4)
    advanced(page)
    for box in page.locator("#verifiers").get_by_role("checkbox").all():
        box.uncheck()
    page.get_by_role("checkbox", name="length").check()
    page.get_by_label("Seed", exact=True).fill("7")
    page.get_by_role("button", name="Speak").click()
    status(page, "Done")
    cards = page.get_by_role("article")
    expect(cards).to_have_count(4)
    for number in range(4):
        cards.nth(number).get_by_text("Scores").click()
        expect(cards.nth(number).get_by_role("row", name="length")).to_contain_text(
            re.compile(r"\.|says nothing")
        )
    page.get_by_role("button", name="Pick candidate 3").click()
    expect(cards.nth(2)).to_have_class("card take picked")
    expect(cards.nth(0)).to_have_class("card take")
    expect(page.locator("#about")).to_have_text("candidate 3")


def test_the_copied_command_works(page: Page, tiny: Path, own_voices: Path, tmp_path: Path) -> None:
    status(page, "Ready")
    text = "It's \"the\" fox's $HOME dog."
    page.get_by_label("Text", exact=True).fill(text)
    advanced(page)
    page.get_by_label("Seed", exact=True).fill("7")
    page.get_by_role("button", name="Copy as curl").click()
    page.locator("#code").wait_for()
    subprocess.run(["bash", "-c", page.locator("#code").inner_text()], cwd=tmp_path, check=True)
    speech = Llasa.load(tiny, device="cpu")(text, seed=7)
    assert (tmp_path / "speech.wav").read_bytes() == speech.audio.encode("wav")
    page.get_by_role("button", name="Copy as Python").click()
    expect(page.locator("#code")).to_contain_text("client.audio.speech")
    (tmp_path / "speech.wav").unlink()
    pytest.importorskip("openai", reason="needs the openai package")
    code = page.locator("#code").inner_text()
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=dict(os.environ))
    assert (tmp_path / "speech.wav").read_bytes() == speech.audio.encode("wav")
    page.get_by_label("Read numbers").uncheck()
    page.get_by_label("Written as").select_option("markdown")
    page.get_by_role("button", name="Copy as Python").click()
    expect(page.locator("#code")).to_contain_text('"normalize": False, "format_in": "markdown"')
    compile(page.locator("#code").inner_text(), "copied", "exec")


def test_key_cancel_and_a_server_that_is_gone(
    browser: Browser, endless: Path, tmp_path: Path
) -> None:
    with serving(endless, tmp_path, keys=KEY) as server, opened(browser, server) as page:
        status(page, "The API key is missing or wrong. Type it under Connection.")
        page.get_by_label("API key", exact=True).fill(KEY)
        page.keyboard.press("Tab")
        status(page, "Ready")
        page.get_by_role("button", name="Copy as curl").click()
        expect(page.locator("#code")).to_contain_text("Bearer $LLASA_API_KEY")
        assert KEY not in page.locator("#code").inner_text()
        page.get_by_label("Text", exact=True).fill("A fox runs. " * 300)  # takes a while
        page.get_by_role("button", name="Speak").click()
        status(page, "Speaking")
        page.keyboard.press("Escape")
        status(page, "Cancelled")
        expect(page.locator("#about")).to_have_text("cut off")
        assert samples(page) > 0
        wait_for(lambda: server.metric("llasa_sequences") == 0)
        candidates(page, 2)
        page.evaluate("document.querySelector('#voice').append(new Option('gone', 'gone'))")
        page.get_by_label("Voice", exact=True).select_option("gone")
        page.get_by_role("button", name="Speak").click()
        status(page, "Voice 'gone' is unknown")
        server.stop()
        page.get_by_role("button", name="Speak").click()
        status(page, "The server does not answer")
