"""What goes wrong on the page: sounds that break off, presses that cross, storage that is full."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("playwright", reason="needs the playwright package")
from playwright.sync_api import Page, Route, expect

from llasa.audio.audio import read_audio
from tests.tiny_model import tone
from tests.waiting import wait_for

from .browser import candidates, needs_browser, samples, status
from .tools import Server

pytestmark = [pytest.mark.slow, needs_browser]
SPEECH = "**/v1/audio/speech"
HALF = 12_000
"""Samples in half a second."""


def event(**data: object) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def sound(seconds: float) -> bytes:
    """A piece of a speech that comes in events."""
    pcm = base64.b64encode(bytes(round(48_000 * seconds))).decode()
    return event(type="speech.audio.delta", audio=pcm)


def speak(page: Page) -> None:
    page.get_by_role("button", name="Speak", exact=True).click()


def test_a_speech_that_breaks_off(page: Page) -> None:
    """What is drawn, played and downloaded is one and the same speech."""
    status(page, "Ready")
    page.get_by_label("Text", exact=True).fill("A fox runs.")
    speak(page)
    status(page, "Done")
    whole = samples(page)
    page.route(SPEECH, lambda route: route.fulfill(body=sound(0.5)))
    speak(page)
    status(page, "The connection broke off")
    expect(page.locator("#about")).to_have_text("cut off")
    expect(page.get_by_role("button", name="Keep this seed")).to_be_hidden()
    expect(page.locator("#stage .clock")).to_contain_text("/ 0.5 s")
    assert whole != samples(page) == HALF
    with page.expect_download() as found:
        page.get_by_role("button", name="Download").click()
    assert len(read_audio(found.value.path()).samples) == HALF
    refused = event(type="error", error={"message": "It burst.", "code": None})
    page.route(SPEECH, lambda route: route.fulfill(body=refused))
    speak(page)
    status(page, "It burst.")
    expect(page.locator("#result")).to_be_hidden()  # there is no sound


def arrived(page: Page, late: list[Route]) -> None:
    """Wait for a request; only while the page is asked something do requests come in."""
    wait_for(lambda: page.evaluate("0") or late)


def test_an_old_speech_is_opened_while_one_is_made(page: Page) -> None:
    """The new one ends: it would be drawn over the old one."""
    status(page, "Ready")
    page.get_by_label("Text", exact=True).fill("A fox runs.")
    speak(page)
    status(page, "Done")
    whole = samples(page)
    asked: list[Route] = []
    page.route(SPEECH, lambda route: asked.append(route))  # and never answered
    page.get_by_label("Text", exact=True).fill("The lazy dog sleeps.")
    speak(page)
    arrived(page, asked)
    page.locator("#history .open").click()
    status(page, "Opened from the history")
    expect(page.get_by_role("button", name="Speak", exact=True)).to_be_enabled()
    expect(page.get_by_label("Text", exact=True)).to_have_value("A fox runs.")
    expect(page.locator("#about")).to_contain_text("seed")
    assert samples(page) == whole


@pytest.fixture
def two(server: Server) -> Iterator[None]:
    """Two more voices, both without a preview."""
    for name in ("fay", "gil"):
        form = {"name": name, "consent": "herself", "transcript": "The lazy dog jumps."}
        files = {"audio_sample": tone(2).encode("wav")}
        server.client.post("/v1/audio/voices", data=form, files=files).raise_for_status()
    yield
    for name in ("fay", "gil"):
        server.client.delete(f"/v1/audio/voices/{name}").raise_for_status()


@pytest.mark.usefixtures("two")
def test_one_plays_at_a_time(page: Page) -> None:
    """What comes late is not heard on top of what was chosen since."""
    late: list[Route] = []

    def answer(route: Route) -> None:
        asked = json.loads(route.request.post_data or "")
        if asked.get("stream_format"):
            route.fulfill(body=sound(60) + event(type="speech.audio.done", seed=1, warnings=[]))
        elif asked["voice"] == "fay":
            late.append(route)
        else:
            route.fulfill(body=tone(60).encode("wav"))

    page.route(SPEECH, answer)
    page.reload()
    status(page, "Ready")
    fay, gil = (page.get_by_role("button", name=f"Listen to {name}") for name in ("fay", "gil"))
    fay.click()
    gil.click()
    expect(gil).to_have_attribute("aria-pressed", "true")
    arrived(page, late)
    late.pop().fulfill(body=tone(60).encode("wav"))
    expect(fay).to_be_enabled()
    expect(gil).to_have_attribute("aria-pressed", "true")
    assert fay.get_attribute("aria-pressed") is None
    fay.click()
    expect(gil).to_have_attribute("aria-pressed", "false")
    speak(page)
    status(page, "Done")
    arrived(page, late)
    late.pop().fulfill(body=tone(60).encode("wav"))
    expect(fay).to_be_enabled()
    expect(page.get_by_role("button", name="Pause the speech")).to_be_visible()
    assert fay.get_attribute("aria-pressed") is None
    fay.click()
    arrived(page, late)
    late.pop().fulfill(body=tone(60).encode("wav"))
    expect(fay).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Play the speech")).to_be_visible()


MICROPHONES = """() => {
    window.asked = []
    const {mediaDevices} = navigator, open = mediaDevices.getUserMedia.bind(mediaDevices)
    mediaDevices.getUserMedia = async wanted => {
        const stream = await open(wanted)
        asked.push(stream)
        await new Promise(answer => { window.allow = answer })
        return stream
    }
}"""
"""Whoever asks for the microphone waits until the test allows it."""
OPEN = (
    "() => asked.filter(stream => stream.getTracks().some(one => one.readyState === 'live')).length"
)


def test_the_microphone_is_opened_once(page: Page) -> None:
    status(page, "Ready")
    page.evaluate(MICROPHONES)
    page.get_by_role("button", name="Add a voice").click()
    page.get_by_role("button", name="Record", exact=True).dblclick()
    status(page, "Waiting for the microphone", "record_status")
    wait_for(lambda: page.evaluate("asked.length") == 1)
    page.evaluate("allow()")
    status(page, "Recording...", "record_status")
    page.get_by_role("button", name="Stop recording").click()
    expect(page.locator("#level")).to_be_hidden()
    assert page.evaluate("asked.length") == 1
    wait_for(lambda: page.evaluate(OPEN) == 0)


def test_the_microphone_is_let_go(page: Page) -> None:
    """Where the browser can open it, but not record it."""
    status(page, "Ready")
    page.evaluate(MICROPHONES)
    page.evaluate(
        "() => { window.MediaRecorder = class { constructor() { throw Error('no codec') } } }"
    )
    page.get_by_role("button", name="Add a voice").click()
    record = page.get_by_role("button", name="Record", exact=True)
    record.click()
    wait_for(lambda: page.evaluate("asked.length") == 1)
    page.evaluate("allow()")
    status(page, "The microphone does not work: no codec", "record_status")
    assert page.evaluate(OPEN) == 0
    expect(page.locator("#level")).to_be_hidden()
    expect(record).to_be_visible()


DAMAGED = (
    "localStorage.setItem('llasa-votes', '[{\"pair\": 1'); localStorage.setItem('llasa-theme', '{')"
)
BLOCKED = """for (const name of ['localStorage', 'sessionStorage'])
    Object.defineProperty(window, name, {get() { throw new DOMException('no', 'SecurityError') }})
"""


@pytest.mark.parametrize("script", [DAMAGED, BLOCKED])
@pytest.mark.usefixtures("two")
def test_what_the_browser_keeps_is_damaged_or_blocked(page: Page, script: str) -> None:
    page.add_init_script(script)
    page.reload()
    status(page, "Ready")
    theme = page.locator("#theme")
    theme.click()
    expect(theme).to_have_attribute("title", "Colours: light")
    page.get_by_label("Text", exact=True).fill("A fox.")
    page.get_by_label("First voice").select_option("fay")
    page.get_by_label("Second voice").select_option("gil")
    page.get_by_role("button", name="Let them speak").click()
    vote = page.get_by_role("group", name="Blind vote")
    vote.get_by_role("button", name="A is better").click()
    votes = page.get_by_role("list", name="Votes so far")
    expect(votes).to_have_text(re.compile("fay (1 : 0|0 : 1) gil"))


def test_the_history_when_the_browser_is_full(page: Page, server: Server) -> None:
    """Old speeches make room; one that is too large for that costs none, and the page says so."""
    status(page, "Ready")
    limit = {"origin": server.url, "quotaSize": 3_000_000}
    page.context.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", limit)
    keep = """async ([name, size]) => {
        const {entries, keep} = await import('./static/store.js')
        const loud = Int16Array.from({length: size}, () => 65536 * Math.random())
        const entry = {body: {input: name, voice: 'ann'}, when: 0, seconds: 1, seed: 1, words: []}
        const lasts = await keep(entry, loud).catch(error => error.message)
        return [lasts, (await entries()).map(entry => entry.body.input)]
    }"""
    names: list[str] = []
    for number in range(7):
        lasts, names = page.evaluate(keep, [str(number), 300_000])
        assert lasts is True
    assert names[0] == "6"
    assert 0 < len(names) < 7
    lasts, left = page.evaluate(keep, ["long", 3_000_000])
    assert lasts == "This speech is not kept: the browser has no room for it."
    assert left == names
    page.reload()
    expect(page.locator("#history li")).to_have_count(len(names))


def test_a_sound_that_cannot_be_played(page: Page) -> None:
    status(page, "Ready")
    speak(page)
    status(page, "Done")
    page.evaluate(
        """() => { HTMLMediaElement.prototype.play = async () => {
            throw new DOMException('no decoder', 'NotSupportedError')
        } }"""
    )
    slider = page.get_by_role("slider", name="Position in the speech")
    slider.focus()
    page.keyboard.press("Home")
    page.get_by_role("button", name="Play the speech").click()
    status(page, "The browser cannot play this sound.")


def test_a_vote_ends_with_its_search(page: Page) -> None:
    status(page, "Ready")
    candidates(page, 6)  # some may be given up unheard
    speak(page)
    status(page, "Done")
    page.get_by_role("button", name="Choose by ear").click()
    sound = page.locator(".booth audio").first.element_handle()
    assert sound is not None
    sound.evaluate("audio => { audio.loop = true }")
    page.get_by_role("button", name="Play A").click()
    wait_for(lambda: sound.evaluate("audio => !audio.paused"))
    speak(page)
    wait_for(lambda: sound.evaluate("audio => audio.paused"))
    status(page, "Done")
