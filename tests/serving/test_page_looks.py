"""The page on a phone, a tablet and a desk, in light and dark, by eye, key and screen reader."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("playwright", reason="needs the playwright package")
from playwright.sync_api import Browser, Page, expect

from llasa.serving import pages
from llasa.verifiers.registry import missing_packages
from tests.waiting import PATIENCE

from .browser import candidates, needs_browser, status
from .tools import Server

pytestmark = [pytest.mark.slow, needs_browser]
AXE = "axe-core@4.10.3"
SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1360, 900)}
SHOTS = os.environ.get("LLASA_SCREENSHOTS")
STATIC = Path(pages.__file__).with_name("static")
Scheme = Literal["light", "dark"]


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Rules of accessibility, as a script."""
    if not shutil.which("npm"):
        pytest.skip("needs npm")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(["npm", "pack", AXE], cwd=folder, capture_output=True, timeout=PATIENCE)
    if done.returncode:
        pytest.skip(f"npm cannot fetch {AXE}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


@contextmanager
def looking(browser: Browser, server: Server, size: str, scheme: Scheme) -> Iterator[Page]:
    """The page on a screen; its policy is put aside, as it keeps foreign scripts out."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        has_touch=size != "desktop",
        reduced_motion="reduce",
        bypass_csp=True,
    )
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    page.goto(server.url)
    status(page, "Ready")
    yield page
    context.close()


def serious(page: Page, axe: str) -> list[Any]:
    """What axe finds to be serious or worse."""
    page.add_script_tag(content=axe)
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        (one["id"], one["help"], [node["target"] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def shoot(page: Page, name: str) -> None:
    """A picture, where LLASA_SCREENSHOTS names a folder for them; some are in docs/pictures."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.jpg", quality=80)


def narrow(page: Page) -> bool:
    """Whether nothing sticks out to the side."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_everybody_can_use_it(
    browser: Browser, server: Server, axe: str, size: str, scheme: Scheme
) -> None:
    with looking(browser, server, size, scheme) as page:
        assert serious(page, axe) == []
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        for box in page.locator("#verifiers").get_by_role("checkbox").all():
            box.uncheck()
        page.get_by_role("checkbox", name="length").check()
        candidates(page, 2)
        page.get_by_role("button", name="Add a voice").click()
        page.get_by_role("button", name="Speak", exact=True).click()
        status(page, "Done")
        expect(page.locator("#history li")).to_have_count(1)
        assert serious(page, axe) == []
        assert narrow(page)
        page.goto(f"{server.url}/docs")
        page.get_by_role("heading", name="POST /v1/audio/speech").wait_for()
        assert serious(page, axe) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_result_is_in_sight(
    browser: Browser, nano_server: Server, size: str, scheme: Scheme
) -> None:
    with looking(browser, nano_server, size, scheme) as page:
        shoot(page, f"{size}-{scheme}-start")
        page.get_by_label("Text", exact=True).fill("Good morning! The shop opens at nine.")
        page.get_by_role("button", name="Speak", exact=True).click()
        status(page, "Done")
        expect(page.locator("#stage")).to_be_in_viewport()
        assert narrow(page)
        page.locator("#words").get_by_role("button", name="shop").click()
        expect(page.locator("#words .now")).to_be_visible()
        shoot(page, f"{size}-{scheme}-speech")


def test_candidates_in_words(browser: Browser, nano_server: Server) -> None:
    if missing_packages("content"):
        pytest.skip("needs the extra search")
    with looking(browser, nano_server, "desktop", "light") as page:
        page.get_by_label("Text", exact=True).fill("The shop opens at nine.")
        candidates(page, 2)
        page.get_by_role("button", name="Speak", exact=True).click()
        status(page, "Done")
        cards = page.get_by_role("article")
        expect(cards).to_have_count(2)
        for card in cards.all():
            expect(card).to_contain_text(re.compile(r"words right \d+ %"))
            expect(card).to_contain_text(re.compile("“.+”"))
        cards.last.scroll_into_view_if_needed()
        shoot(page, "desktop-light-candidates")


def test_keys_alone(page: Page) -> None:
    status(page, "Ready")
    nameless = page.evaluate(
        "[...document.querySelectorAll('input, select, textarea, button')].filter(e => "
        "!(e.labels?.length || e.ariaLabel || e.textContent.trim())).map(e => e.id)"
    )
    assert nameless == []
    assert page.evaluate("document.documentElement.lang") == "en"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # Skip to the text
    expect(page.get_by_label("Text", exact=True)).to_be_focused()
    for wanted in ("voice", "format_in", "document", "speak", "share", "curl", "python"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == wanted


def test_colours_are_chosen_and_kept(page: Page) -> None:
    status(page, "Ready")
    scheme = "document.documentElement.style.colorScheme"
    assert page.evaluate(scheme) == "light dark"
    for wanted in ("light", "dark"):
        page.get_by_role("button", name="Colours").click()
        assert page.evaluate(scheme) == wanted
    page.reload()
    assert page.evaluate(scheme) == "dark"


def test_files_are_small_and_name_nobody_else() -> None:
    for path in STATIC.iterdir():
        text = path.read_text("utf-8")
        assert len(text.splitlines()) < 400, path
        assert set(re.findall(r"https?://[^\s'\"`)]*", text)) <= {"http://www.w3.org/2000/svg"}, (
            path
        )
