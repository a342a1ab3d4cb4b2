"""How the page has a text read, and how it tells what went wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("playwright", reason="needs the playwright package")
from playwright.sync_api import Browser, Page, expect

from llasa.models.folder import ModelConfig
from llasa.verifiers.registry import missing_packages
from tests.tiny_model import write_tiny_model

from .browser import advanced, drop, needs_browser, opened, samples, status
from .tools import Server, serving

pytestmark = [pytest.mark.slow, needs_browser]
EVENTS = ("stream_format", "timestamp_granularities")
"""What the page asks for, and a file has not."""
MARKDOWN = "## News\n\nThe **fox** paid $5."


def asked_for(page: Page) -> dict[str, Any]:
    """What is sent when one speaks."""
    with page.expect_request("**/v1/audio/speech") as found:
        page.get_by_role("button", name="Speak", exact=True).click()
    status(page, re.compile("Done|error|only"))
    return json.loads(found.value.post_data or "")


def paste(page: Page, text: str) -> None:
    """Put a text in place of what is there, as from another program."""
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    page.get_by_label("Text", exact=True).focus()
    page.keyboard.press("Control+A")
    page.keyboard.press("Control+V")
    expect(page.get_by_label("Text", exact=True)).to_have_value(text)


def test_numbers_are_read_unless_one_says_otherwise(page: Page) -> None:
    status(page, "Ready")
    page.get_by_label("Text", exact=True).fill("Room 5.")
    page.get_by_label("Voice", exact=True).select_option("ann")
    plain = {"input", "voice", "response_format", "stream_format", "timestamp_granularities"}
    assert asked_for(page).keys() == plain
    page.get_by_label("Read numbers").uncheck()
    assert asked_for(page)["normalize"] is False
    page.reload()
    status(page, "Ready")
    expect(page.get_by_label("Read numbers")).to_be_checked()
    page.locator("#history .open").first.click()
    expect(page.get_by_label("Read numbers")).not_to_be_checked()


def test_markdown_is_recognised_and_said(page: Page, server: Server) -> None:
    status(page, "Ready")
    written, note = page.get_by_label("Written as"), page.locator("#recognised")
    paste(page, MARKDOWN)
    expect(written).to_have_value("markdown")
    expect(note).to_contain_text("Recognised")
    advanced(page)
    page.get_by_label("Seed", exact=True).fill("3")
    body = asked_for(page)
    assert body["format_in"] == "markdown"
    answer = server.client.post(
        "/v1/audio/speech", json={k: v for k, v in body.items() if k not in EVENTS}
    )
    assert samples(page) == len(answer.content) // 2
    paste(page, "A fox, a dog; # 1 of 2 * 3.")
    expect(written).to_have_value("text")
    expect(note).to_be_empty()
    drop(page, "note.txt", MARKDOWN.encode())
    expect(written).to_have_value("markdown")
    written.select_option("text")
    expect(note).to_be_empty()
    assert "format_in" not in asked_for(page)
    drop(page, "note.md", b"A fox.")
    expect(page.get_by_label("Text", exact=True)).to_have_value("A fox.")
    expect(written).to_have_value("markdown")
    drop(page, "note.txt", b"\xff\xfe\x00")
    status(page, "note.txt is not UTF-8 text")
    expect(page.get_by_label("Text", exact=True)).to_have_value("A fox.")


def test_markdown_is_recognised_while_it_is_typed(page: Page) -> None:
    status(page, "Ready")
    written, note = page.get_by_label("Written as"), page.locator("#recognised")
    text = page.get_by_label("Text", exact=True)
    text.fill("")
    text.press_sequentially("## News")
    expect(written).to_have_value("markdown")
    expect(note).to_contain_text("Recognised")
    written.select_option("text")  # who knows better is believed
    text.press_sequentially("\n\nA fox.")
    expect(written).to_have_value("text")
    text.fill("")
    text.press_sequentially("**Stop** it.")
    expect(written).to_have_value("markdown")
    text.fill("Stop it.")
    expect(written).to_have_value("text")
    expect(note).to_be_empty()


@pytest.mark.parametrize(
    ("text", "clear"),
    [
        ("# Title\n\nWords.", True),
        ("#### Part\nWords.", True),
        ("---\ntitle: A\n---\nWords.", True),
        ("Look:\n```py\nx = 1\n```", True),
        ("| a | b |\r\n|---|:-:|\r\n| 1 | 2 |", True),
        ("See [the page](https://example.com) or [this](./a.md).", True),
        ("![A fox](fox.png)", True),
        ("It is **very** good.", True),
        ("__init__ is a name, and so is 2**3**4.", False),
        ("Ask [Siobhan](shivawn). [pause 500ms]", False),
        ("- milk\n- bread\n\n1. One\n2. Two", False),
        ("# 1 in the world\nand #2 * 3 * 4", False),
        ("One\n---\nTwo", False),
        ("He said: *no*. It_is_so. 5 | 6 | 7", False),
    ],
)
def test_what_is_clearly_markdown(page: Page, text: str, clear: bool) -> None:
    found = page.evaluate(
        "async text => (await import('./static/markdown.js')).looksLikeMarkdown(text)", text
    )
    assert found == clear


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model that speaks English only, and never ends."""
    settings = ModelConfig("tiny", default_voice="ann", languages=("en",))
    model = write_tiny_model(tmp_path_factory.mktemp("model"), settings, ends=-50.0)
    with serving(model, tmp_path_factory.mktemp("voices")) as running:
        yield running


def test_another_language_is_refused_and_may_be_spoken(browser: Browser, strict: Server) -> None:
    with opened(browser, strict) as page:
        status(page, "Ready")
        page.get_by_label("Text", exact=True).fill("Добрый день, лиса.")
        anyway = page.get_by_role("button", name="Speak it all the same")
        assert "force" not in asked_for(page)
        status(page, "speaks English only")
        expect(anyway).to_be_visible()
        anyway.click()
        status(page, "Done")
        expect(anyway).to_be_hidden()
        expect(page.get_by_label("Speak scripts and languages")).to_be_checked()
        warnings = page.get_by_role("list", name="Warnings").get_by_role("listitem")
        expect(warnings.first).to_contain_text("Cyrillic letters: it was spoken all the same")
        expect(warnings.last).to_contain_text("did not end by itself")


def test_a_check_shows_what_could_not_be_said(browser: Browser, strict: Server) -> None:
    with opened(browser, strict) as page:
        status(page, "Ready")
        check = page.get_by_label("Check the words")
        if missing_packages("content"):
            expect(check).to_be_disabled()
            expect(page.get_by_text("the server needs the extra search")).to_be_visible()
            return
        page.get_by_label("Text", exact=True).fill("A fox.")
        advanced(page)
        page.get_by_label("Longest").fill("0.5")
        check.check()
        expect(page.get_by_label("Candidates", exact=True)).to_be_disabled()
        assert asked_for(page)["check"] is True
        expect(page.get_by_role("list", name="Warnings")).to_contain_text("'A fox.'")
        page.get_by_text("Heard right: 0 of 1").click()
        expect(page.get_by_text("✗ A fox. (")).to_be_visible()
        check.uncheck()
        expect(page.get_by_label("Candidates", exact=True)).to_be_enabled()
