"""The docs as a site: built without a warning, with its sounds, and asking nobody else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("material", reason="needs the extra docs")

from llasa.audio.audio import read_audio
from llasa.models.find import shipped_models
from tests.serving.browser import launched, needs_browser

ROOT = Path(__file__).parents[2]
LOADED = {"link": "href", "script": "src", "img": "src", "audio": "src", "iframe": "src"}
"""What a browser fetches for a page, and where its address is."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shipped_models(), reason="the default model is not here"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


class Addresses(HTMLParser):
    """All that a page loads."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in LOADED and values.get("rel") != "canonical":
            self.found += [value for value in [values.get(LOADED[tag])] if value]


def pages(site: Path) -> Iterator[Path]:
    return (page for page in site.rglob("*.html") if page.name != "404.html")


def test_everything_is_part_of_the_site(site: Path) -> None:
    names = {page.stem for page in (ROOT / "docs").rglob("*.md")}
    assert {page.stem for page in pages(site)} == names
    for page in pages(site):
        for address in Addresses(page).found:
            assert (page.parent / address.partition("?")[0]).exists(), f"{page.name}: {address}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", sheet.read_text("utf-8")), sheet.name


def test_the_gallery_sounds(site: Path) -> None:
    sounds = [name for name in Addresses(site / "gallery.html").found if name.endswith(".mp3")]
    made = {f"sounds/{file.name}" for file in (site / "sounds").iterdir()}
    assert len(sounds) == len(set(sounds)) > 10
    assert set(sounds) == made
    for name in sounds:
        assert 0.5 < read_audio(site / name).duration < 30


@needs_browser
def test_a_browser_asks_nobody_else(site: Path) -> None:
    asked: set[str] = set()
    with launched() as browser:
        page = browser.new_page()
        page.on("request", lambda request: asked.add(request.url.partition(":")[0]))
        for name in ("index", "gallery", "design", "results/search"):
            page.goto((site / f"{name}.html").as_uri())
            page.wait_for_load_state("networkidle")
            assert page.locator("h1").count() == 1
        page.goto((site / "gallery.html").as_uri())
        page.evaluate("document.querySelector('audio').play()")
        page.wait_for_function("document.querySelector('audio').currentTime > 0")
    assert asked == {"file"}
