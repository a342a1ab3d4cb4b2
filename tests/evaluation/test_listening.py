"""The listening page in a real browser: votes, and the file that they end up in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from llasa.evaluation.experiment import Experiment
from llasa.evaluation.listening import listening_page
from llasa.evaluation.understanding import TEXT, Probe
from tests.tiny_model import tone
from tests.waiting import wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    probes = [
        Probe("one", "en", "questions", "listen", "You </script> saw it?"),
        Probe("two", "en", "emotions", "listen", "We won!"),
    ]
    tone(0.5).write(tmp_path / "clip.flac")
    row = {"take": TEXT, "audio": "clip.flac"}
    rows = [{**row, "item": p.id, "system": s} for p in probes for s in ("a", "b")]
    rows.append({"item": "one", "take": TEXT, "system": "c"})  # which could not speak
    path = tmp_path / "listen.html"
    path.write_bytes(listening_page(probes, rows, Experiment(tmp_path, {}, "")))
    return path


def test_the_page_holds_all_clips_and_no_names_to_be_seen(page: Path) -> None:
    text = page.read_text()
    data = text.partition('id="data">')[2].partition("</script>")[0]
    clips = json.loads(data)["clips"]
    assert len(clips) == 4
    assert [clip["category"] for clip in clips] == ["emotions"] * 2 + ["questions"] * 2
    assert all(clip["sound"] for clip in clips)
    assert "http" not in text.replace("https://", "http").partition("<script>")[2]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs the browser chromium")
def test_votes_are_kept_and_downloaded(page: Path, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the playwright package")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(accept_downloads=True)
        context.set_default_timeout(60_000)
        tab, wrong = context.new_page(), []
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto(page.as_uri())
        assert tab.locator("audio").count() == 4
        tab.get_by_label("Your name").fill("Ann")
        tab.locator("article").nth(0).get_by_label("3: yes, and natural").check()
        tab.locator("article").nth(2).get_by_label("1: no").check()
        assert tab.locator("#count").inner_text() == "2 of 4"

        def seen_again() -> bool:
            tab.reload()
            return bool(tab.locator("#count").inner_text() == "2 of 4")

        wait_for(seen_again)  # the browser stores votes in its own time
        with tab.expect_download() as download:
            tab.get_by_role("button", name="Download votes").click()
        path = tmp_path / "votes.json"
        download.value.save_as(path)
        browser.close()
    found = json.loads(path.read_text())
    assert wrong == []
    assert found["listener"] == "Ann"
    assert [vote["vote"] for vote in found["votes"]] == [3, 1]
    assert {vote["category"] for vote in found["votes"]} == {"emotions", "questions"}
