"""The sound on the page: played, scrubbed, kept, shared, and the words under it."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("playwright", reason="needs the playwright package")
from playwright.sync_api import Page, expect

from llasa.audio.audio import read_audio
from tests.waiting import wait_for

from .browser import advanced, candidates, needs_browser, samples, status
from .tools import Server

pytestmark = [pytest.mark.slow, needs_browser]
TEXT = "A fox runs. The lazy dog sleeps. " * 2
SHARED = {
    "text": "50 % of #1 & “Siobhan” + 1 = 2\nA second line.",
    "voice": "random",
    "seed": "7",
    "speed": "1.25",
    "normalize": "false",
    "language": "de",
    "lexicon": "Siobhan = shivawn\nA = eh",
}


def speak(page: Page, text: str = TEXT, seed: int | None = None) -> None:
    """Speak a text and wait for all of it."""
    status(page, re.compile("Ready|Done"))
    page.get_by_label("Text", exact=True).fill(text)
    if seed is not None:
        advanced(page)
        page.get_by_label("Seed", exact=True).fill(str(seed))
    page.get_by_role("button", name="Speak", exact=True).click()
    status(page, "Done")


def value(page: Page) -> float:
    """Where the player is, in seconds."""
    slider = page.get_by_role("slider", name="Position in the speech")
    return float(slider.get_attribute("aria-valuenow") or "nan")


def test_the_waveform_is_scrubbed_by_pointer_and_keys(page: Page) -> None:
    speak(page, seed=3)
    seconds = samples(page) / 24_000
    assert seconds > 1  # as long as this seed has it
    slider = page.get_by_role("slider", name="Position in the speech")
    box = slider.bounding_box()
    assert box is not None
    slider.focus()
    page.keyboard.press("Home")  # from here on it is the file that is heard, which may play on
    page.evaluate("document.querySelector('#player').pause()")
    page.keyboard.press("Home")
    wait_for(lambda: value(page) == 0)
    expect(page.get_by_role("button", name="Play the speech")).to_be_visible()
    page.keyboard.press("ArrowRight")
    wait_for(lambda: 0 < value(page) <= seconds / 2)
    page.keyboard.press("End")
    wait_for(lambda: value(page) == pytest.approx(seconds, abs=0.1))
    slider.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    wait_for(lambda: value(page) == pytest.approx(seconds / 2, abs=0.1))
    expect(slider).to_have_attribute("aria-valuetext", f"{value(page)} of {seconds:.1f} seconds")
    page.get_by_role("button", name="Play the speech").click()
    wait_for(lambda: page.evaluate("document.querySelector('#player').ended"))
    expect(page.get_by_role("button", name="Play the speech")).to_be_visible()


def test_downloads_in_the_formats_of_the_server(page: Page, server: Server) -> None:
    speak(page, "A fox runs.", seed=3)
    (model,) = server.client.get("/v1/models").json()["data"]
    shown = page.get_by_label("Format of the download")
    offered = shown.locator("option").evaluate_all("all => all.map(one => one.value)")
    assert offered[0] == "wav"
    assert set(offered) == set(model["response_formats"]) - {"pcm"}
    whole = samples(page) / 24_000
    for form in offered:
        shown.select_option(form)
        with page.expect_download() as found:
            page.get_by_role("button", name="Download").click()
        assert found.value.suggested_filename == f"speech.{form}"
        sound = read_audio(found.value.path())
        assert sound.duration == pytest.approx(whole, abs=0.15), form
        assert np.abs(sound.mono().samples).max() > 0.01
    shown.select_option("mp3")
    page.reload()
    status(page, "Ready")
    expect(page.get_by_label("Format of the download")).to_have_value("mp3")


def test_a_download_that_fails_is_told_beside_it(page: Page) -> None:
    speak(page, "A fox runs.")
    page.get_by_label("Format of the download").select_option("mp3")
    full = {"error": {"message": "It is full.", "code": None}}
    page.route("**/v1/audio/convert", lambda route: route.fulfill(status=503, json=full))
    page.get_by_role("button", name="Download").click()
    status(page, "It is full.", "saved")
    page.get_by_label("Format of the download").select_option("wav")
    with page.expect_download() as found:
        page.get_by_role("button", name="Download").click()  # it lies in the browser
    assert found.value.suggested_filename == "speech.wav"
    speak(page, "A fox runs.")
    expect(page.locator("#saved")).to_be_empty()


def test_history_keeps_its_sound(page: Page) -> None:
    speak(page, "A fox runs.")
    first = samples(page)
    speak(page, "The lazy dog sleeps.")
    second = samples(page)
    page.reload()
    status(page, "Ready")
    rows = page.get_by_role("list", name="What was spoken").get_by_role("listitem")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("The lazy dog sleeps.")
    again = page.get_by_role("button", name="Hear again: A fox runs.")
    with page.expect_request("blob:**"):  # what is played lies in the browser
        again.click()
    rows.last.locator(".open").click()
    status(page, "Opened from the history")
    expect(page.get_by_label("Text", exact=True)).to_have_value("A fox runs.")
    assert samples(page) == first
    rows.first.locator(".open").click()
    expect(page.get_by_label("Text", exact=True)).to_have_value("The lazy dog sleeps.")
    wait_for(lambda: samples(page) == second)
    page.get_by_role("button", name="Forget: A fox runs.").click()
    expect(rows).to_have_count(1)
    page.reload()
    expect(rows).to_have_count(1)


def test_only_so_many_are_kept(page: Page) -> None:
    kept = page.evaluate(
        """async () => {
            const {entries, keep, sound} = await import('./static/store.js')
            for (let n = 0; n < 33; n++) await keep({body: {input: String(n)}}, new Int16Array(n))
            const all = await entries()
            return [all.length, all[0].body.input, all.at(-1).body.input,
                (await sound(all[0].id)).length, await sound(1) === undefined]
        }"""
    )
    assert kept == [30, "32", "3", 32, True]


def test_a_browser_that_keeps_nothing(page: Page) -> None:
    page.add_init_script("indexedDB.open = () => { throw new Error('not here') }")
    page.reload()
    speak(page, "A fox runs.")
    status(page, "The browser keeps nothing", "past_status")
    page.locator("#history .open").click()
    status(page, "Opened from the history")
    page.get_by_role("button", name="Clear history").click()
    expect(page.locator("#history li")).to_have_count(0)


def test_a_link_holds_the_settings(page: Page, server: Server) -> None:
    status(page, "Ready")
    page.get_by_text("Connection", exact=True).click()
    page.get_by_label("API key", exact=True).fill("secret")
    page.get_by_label("Text", exact=True).fill(SHARED["text"])
    page.get_by_label("Voice", exact=True).select_option(SHARED["voice"])
    advanced(page)
    page.get_by_label("Seed", exact=True).fill(SHARED["seed"])
    page.get_by_label("Speed", exact=True).fill(SHARED["speed"])
    page.get_by_label("Read numbers").uncheck()
    page.get_by_label("Language", exact=True).select_option(SHARED["language"])
    page.get_by_label("Pronunciation", exact=True).fill(SHARED["lexicon"])
    page.get_by_role("button", name="Share as link").click()
    status(page, "Copied.", "copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{server.url}/#text=")
    assert "secret" not in link
    page.goto("about:blank")
    page.goto(link)
    status(page, "Ready")
    for label, name in (("Text", "text"), ("Seed", "seed"), ("Speed", "speed")):
        expect(page.get_by_label(label, exact=True)).to_have_value(SHARED[name])
    expect(page.get_by_label("Voice", exact=True)).to_have_value("random")
    expect(page.get_by_label("Read numbers")).not_to_be_checked()
    expect(page.get_by_label("Language", exact=True)).to_have_value("de")
    expect(page.get_by_label("Pronunciation", exact=True)).to_have_value(SHARED["lexicon"])
    expect(page.locator("#result")).to_be_hidden()  # a link does not speak by itself


def test_a_shared_link_repeats_what_was_heard(page: Page) -> None:
    speak(page, "A fox runs.")
    first = samples(page)
    page.get_by_role("button", name="Share as link").click()
    link = page.evaluate("location.href")
    assert "seed=" in urlsplit(link).fragment
    page.goto("about:blank")
    page.goto(link)
    status(page, "Ready")
    page.get_by_role("button", name="Speak", exact=True).click()
    status(page, "Done")
    assert samples(page) == first


@pytest.mark.parametrize(
    "fragment", ["text=A%20fox.&seed=x&speed=99&voice=a%2Bb&strategy=no&lexicon=%3D", "x"]
)
def test_a_link_of_somebody_elses_making(page: Page, server: Server, fragment: str) -> None:
    page.goto("about:blank")
    page.goto(f"{server.url}/#{fragment}")
    status(page, "Ready")
    known = fragment.startswith("text")
    expect(page.get_by_label("Text", exact=True)).to_have_value(
        "A fox." if known else "The quick brown fox jumps over the lazy dog."
    )
    expect(page.get_by_label("Voice", exact=True)).to_have_value("a+b" if known else "ann")
    expect(page.locator("#strategy")).to_have_value("best-of")
    assert float(page.locator("#speed").input_value()) <= 2


def test_pronunciation_and_language_are_asked_for(page: Page) -> None:
    status(page, "Ready")
    page.get_by_label("Pronunciation", exact=True).fill(" Siobhan = shivawn \n\nfox=focks")
    page.get_by_label("Language", exact=True).select_option("French")
    with page.expect_request("**/v1/audio/speech") as found:
        page.get_by_role("button", name="Speak", exact=True).click()
    body = json.loads(found.value.post_data or "")
    assert body["lexicon"] == {"Siobhan": "shivawn", "fox": "focks"}
    assert body["language"] == "fr"
    status(page, "Done")
    page.get_by_label("Pronunciation", exact=True).fill("Siobhan")
    page.get_by_role("button", name="Speak", exact=True).click()
    status(page, "“Siobhan” under Pronunciation is not complete")


def test_the_seed_of_what_was_heard_is_kept(page: Page) -> None:
    speak(page, "A fox runs.")
    page.get_by_role("button", name="Keep this seed").click()
    seed = page.locator("#seed").input_value()
    assert page.locator("#about").inner_text().removesuffix(", cut off") == f"seed {seed}"
    status(page, f"Seed {seed} is kept")


def test_candidates_are_chosen_by_ear(page: Page) -> None:
    status(page, "Ready")
    candidates(page, 3)
    advanced(page)
    page.get_by_label("Seed", exact=True).fill("7")
    for box in page.locator("#verifiers").get_by_role("checkbox").all():
        box.uncheck()
    page.get_by_role("checkbox", name="length").check()
    page.get_by_role("button", name="Speak", exact=True).click()
    status(page, "Done")
    page.get_by_role("button", name="Choose by ear").click()
    vote = page.get_by_role("group", name="Blind vote")
    expect(page.get_by_role("article").first).to_be_hidden()  # scores would tell
    expect(vote).to_contain_text("Round 1 of 2")
    vote.get_by_role("button", name="B is better").click()
    expect(vote).to_contain_text("Round 2 of 2")
    vote.get_by_role("button", name="No difference").click()
    expect(vote).to_contain_text("Your ear chose candidate")
    chosen = vote.inner_text().split("Your ear chose candidate ")[1][0]
    picked = page.get_by_role("button", name=f"Pick candidate {chosen}")
    expect(picked).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#about")).to_have_text(f"candidate {chosen}")


@pytest.mark.parametrize(
    ("text", "heard", "way"),
    [
        ("The cat sat.", "the cat sat", "the cat sat"),
        ("The cat sat.", "The cat's hat.", "The -cat -sat. +cat's +hat."),
        ("A well-known fox", "a well known fox", "a well known fox"),
        ("Don’t go", "don't go on", "don't go +on"),
        ("One two", "", "-One -two"),
        ("", "Oh", "+Oh"),
        ("At 9:30, “yes”", "at 9.30 yes", "at 9.30 yes"),
        ("Grüße, Zoë!", "Grüße Zoe", "Grüße -Zoë! +Zoe"),
    ],
)
def test_what_was_heard_otherwise_is_marked(page: Page, text: str, heard: str, way: str) -> None:
    found: list[list[str]] = page.evaluate(
        "async given => (await import('./static/heard.js')).differences(...given)", [text, heard]
    )
    signs = {"same": "", "missing": "-", "extra": "+"}
    assert " ".join(signs[kind] + word for kind, word in found) == way


@pytest.mark.parametrize(
    ("scores", "right", "said"),
    [
        ({"moonshine": -0.001, "length": 0.0}, False, ["words right 100 %"]),
        ({"moonshine": -0.01}, True, ["words right 100 %"]),
        ({"whisper": -1.7, "distillmos": 3.94}, False, ["words right 0 %", "sound 3.9 of 5"]),
        ({"moonshine": None, "campplus": 0.614}, None, ["voice alike 61 %"]),
        ({"repetition": 1.0}, None, []),
    ],
)
def test_scores_are_said_in_words(
    page: Page, scores: dict[str, Any], right: bool | None, said: list[str]
) -> None:
    found = page.evaluate(
        "async given => (await import('./static/heard.js')).meanings(...given)", [scores, right]
    )
    assert found == said


def test_words_are_under_the_waveform(page: Page) -> None:
    speak(page, "A “fox” runs, 😀 see.")
    words = page.locator("#words")
    expect(words).to_have_text("A “fox” runs, 😀 see.")
    expect(words.locator("span")).to_have_text(["A", "fox", "runs", "see"])
    player = page.locator("#player")
    player.evaluate("one => { one.pause(); one.onplay = () => { window.began = one.currentTime } }")
    words.get_by_role("button", name="fox").press("Enter")
    page.wait_for_function("window.began > 0")
    page.reload()  # they are kept with the sound
    page.locator("#history .open").click()
    expect(words.locator("span")).to_have_count(4)


def test_words_are_lit_and_pressed(page: Page) -> None:
    """As `speech.audio.done` has them, with places in characters, also behind an emoji."""
    text = "😀 Hi, “fox”."
    words = [
        {"word": "Hi", "start": 0.1, "end": 0.4, "span": [2, 4]},
        {"word": "fox", "start": 0.5, "end": 1.0, "span": [7, 10]},
    ]
    page.evaluate(
        """async ([text, words]) => {
            const {Words} = await import('./static/words.js')
            const place = document.querySelector('#words')
            document.querySelector('#result').hidden = false
            window.pressed = []
            window.shown = new Words(place, seconds => pressed.push(seconds))
            shown.show(text, words)
            shown.at(0.6)
        }""",
        [text, words],
    )
    shown = page.locator("#words")
    expect(shown).to_have_text(text)
    expect(shown.locator(".now")).to_have_text("fox")
    shown.get_by_text("Hi").click()
    assert page.evaluate("pressed") == [0.1]
    shown.get_by_text("fox").click()
    expect(shown.locator("[tabindex='0']")).to_have_text("fox")
    shown.get_by_text("Hi").click()
    page.evaluate("pressed.splice(1)")
    page.get_by_role("slider", name="Position in the speech").focus()
    page.keyboard.press("Tab")
    for key in ("ArrowRight", "Enter", "ArrowRight", "Home", " ", "End"):
        page.keyboard.press(key)
    assert page.evaluate("pressed") == [0.1, 0.5, 0.1]
    page.evaluate("([text, words]) => shown.show(text, words)", [text, words])  # as they come
    expect(shown.get_by_role("button", name="fox")).to_be_focused()
    expect(shown.locator("[tabindex='0']")).to_have_text("fox")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Download")).to_be_focused()
    page.evaluate("shown.at(0.45)")
    expect(shown.locator(".now")).to_have_count(0)
    page.evaluate("shown.show('', [])")
    expect(shown).to_be_hidden()
