"""Voices on the page: cards, recordings, and votes between two of them."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("playwright", reason="needs the playwright package")
from playwright.sync_api import Browser, Page, expect

from tests.tiny_model import tone
from tests.waiting import wait_for

from .browser import drop, needs_browser, opened, status
from .tools import Server

pytestmark = [pytest.mark.slow, needs_browser]
WATCH = """button => {
    window.pressed = []
    new MutationObserver(() => pressed.push(button.ariaPressed)).observe(
        button, {attributeFilter: ['aria-pressed']})
}"""
"""Collects whether a button is pressed, however briefly."""


def add(server: Server, name: str) -> None:
    """A voice of the user's."""
    form = {"name": name, "consent": "herself", "transcript": "The lazy dog jumps."}
    files = {"audio_sample": tone(2).encode("wav")}
    server.client.post("/v1/audio/voices", data=form, files=files).raise_for_status()


def fill(page: Page, name: str) -> None:
    """All that a voice needs but its recording."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Who agreed").fill("herself")
    page.get_by_label("Its words").fill("The lazy dog jumps.")


def made(page: Page, name: str) -> None:
    """Press the button and wait for the voice."""
    page.get_by_role("button", name="Add voice", exact=True).click()
    status(page, f"Voice {name} says: “The lazy dog jumps.”", "add_status")
    expect(page.get_by_label("Voice", exact=True)).to_have_value(name)


def test_voices_are_uploaded_recorded_and_deleted(page: Page) -> None:
    status(page, "Ready")
    page.get_by_role("button", name="Add a voice").click()
    fill(page, "bea")
    page.get_by_role("button", name="Add voice", exact=True).click()
    status(page, "Choose a recording or make one first", "add_status")
    page.get_by_label("Recording, 3 to 15 s").set_input_files(
        {"name": "a.wav", "mimeType": "audio/wav", "buffer": tone(2).encode("wav")}
    )
    status(page, "a.wav: 2.0 s", "record_status")
    page.get_by_label("Sounds like").select_option("a woman")
    expect(page.get_by_role("button", name="Play the recording")).to_be_visible()
    made(page, "bea")
    expect(page.locator("#own li").filter(has_text="bea")).to_contain_text("Woman · yours")
    fill(page, "cid")
    page.get_by_role("button", name="Record", exact=True).click()
    status(page, "Recording...", "record_status")
    expect(page.locator("#recorded_for")).to_contain_text(re.compile(r"^([2-9]|\d\d) s"))
    page.get_by_role("button", name="Stop recording").click()
    status(page, "Recorded", "record_status")
    expect(page.get_by_role("slider", name="Position in the recording")).to_be_visible()
    made(page, "cid")
    page.get_by_role("button", name="Delete bea").click()
    status(page, "Voice bea is deleted", "voice_status")
    expect(page.get_by_label("Voice", exact=True)).to_have_value("cid")
    page.get_by_role("button", name="Delete cid").click()
    status(page, "Voice cid is deleted", "voice_status")
    expect(page.get_by_label("Voice", exact=True)).to_have_value("ann")


def test_a_recording_is_dropped(page: Page) -> None:
    status(page, "Ready")
    text = page.get_by_label("Text", exact=True).input_value()
    drop(page, "me.wav", tone(2).encode("wav"), "audio/wav")
    status(page, "me.wav: 2.0 s", "record_status")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    fill(page, "dan")
    made(page, "dan")
    expect(page.get_by_label("Text", exact=True)).to_have_value(text)
    drop(page, "broken.wav", b"no sound", "audio/wav")
    status(page, "broken.wav cannot be played here", "record_status")
    fill(page, "eve")
    page.get_by_role("button", name="Add voice", exact=True).click()
    expect(page.locator("#add_status")).to_have_class("status bad")
    page.get_by_role("button", name="Delete dan").click()
    status(page, "Voice dan is deleted", "voice_status")


def test_a_card_chooses_and_plays_its_voice(page: Page, server: Server) -> None:
    add(server, "fay")
    page.reload()
    status(page, "Ready")
    cards = page.locator("#own li")
    ann, fay = cards.filter(has_text="ann"), cards.filter(has_text="fay")
    expect(ann).to_contain_text("default")
    expect(ann.locator(".face")).to_have_attribute("aria-pressed", "true")
    fay.locator(".face").click()
    expect(page.get_by_label("Voice", exact=True)).to_have_value("fay")
    expect(ann.locator(".face")).to_have_attribute("aria-pressed", "false")
    page.get_by_label("Voice", exact=True).select_option("ann")
    expect(ann.locator(".face")).to_have_attribute("aria-pressed", "true")
    with page.expect_request("**/v1/audio/speech") as found:  # it came without a preview
        fay.get_by_role("button", name="Listen to fay").click()
    assert '"voice":"fay"' in (found.value.post_data or "")
    server.client.delete("/v1/audio/voices/fay").raise_for_status()
    fay.get_by_role("button", name="Delete fay").click()
    status(page, "Voice 'fay' is unknown", "voice_status")


def test_two_voices_are_compared_blind(page: Page, server: Server) -> None:
    add(server, "gil")
    page.reload()
    status(page, "Ready")
    page.get_by_label("Text", exact=True).fill("A fox.")
    page.get_by_label("First voice").select_option("gil")
    page.get_by_label("Second voice").select_option("gil")
    page.get_by_role("button", name="Let them speak").click()
    status(page, "Choose two different voices", "blind_status")
    page.get_by_label("First voice").select_option("ann")
    page.get_by_role("button", name="Let them speak").click()
    vote = page.get_by_role("group", name="Blind vote")
    expect(vote).to_be_visible()
    assert not re.search("ann|gil", vote.inner_text())
    expect(vote.get_by_role("button", name="Play A")).to_be_focused()
    vote.get_by_role("button", name="A is better").click()
    expect(vote).to_contain_text("Your ear chose")
    winner = vote.inner_text().split("Your ear chose ")[1][:3]
    score = "ann 1 : 0 gil" if winner == "ann" else "ann 0 : 1 gil"
    expect(page.get_by_role("list", name="Votes so far")).to_have_text(score)
    page.get_by_role("button", name="Let them speak").click()
    vote.get_by_role("button", name="No difference").click()
    expect(vote).to_contain_text("You heard no difference")
    page.reload()
    expect(page.get_by_role("list", name="Votes so far")).to_have_text(score)
    server.client.delete("/v1/audio/voices/gil").raise_for_status()


def test_the_packaged_voices(browser: Browser, nano_server: Server) -> None:
    with opened(browser, nano_server) as page:
        status(page, "Ready")
        cards = page.locator("#own .voice")
        expect(cards).to_have_count(9)
        expect(cards.filter(has_text="heart")).to_contain_text("Woman · English")
        expect(cards.filter(has_text="george")).to_contain_text("Man · English")
        expect(page.locator("#lead")).to_contain_text("nano speaks English in 9 voices")
        listen = page.get_by_role("button", name="Listen to heart")
        listen.evaluate(WATCH)
        with page.expect_response("**/v1/audio/voices/heart/preview") as found:
            listen.click()
        assert found.value.ok
        wait_for(lambda: page.evaluate("pressed") == ["true", "false"])  # it began, and ended
