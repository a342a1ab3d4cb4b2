"""A model as a page: a real browser speaks with it, and asks nobody else for anything."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra export")
pytest.importorskip("playwright", reason="needs the playwright package")

from llasa.base.errors import LlasaError
from llasa.models.export.web import RUNTIME, export_web, joined, letter_ids
from llasa.models.find import find_model, shipped_models
from llasa.tts.llasa import Llasa
from llasa.vocabulary.vocabulary import Vocabulary
from tests.serving.browser import launched, needs_browser
from tests.waiting import PATIENCE

PACKAGE = "onnxruntime-web@1.30.0"
TEXT = "Hello, my friend. It’s a fine day — isn’t it?"
SPEAK = """async ([text, options]) => {
  const { Llasa } = await import("./llasa.js");
  const tts = await Llasa.load();
  const speech = await tts.speak(text, options);
  return { codes: speech.codes, samples: [...speech.samples], rate: speech.rate };
}"""
PARTS = """async texts => {
  const { parts } = await import("./llasa.js");
  const model = await (await fetch("model.json")).json();
  return texts.map(text => parts(text, model));
}"""

needs_nano = pytest.mark.skipif(not shipped_models(), reason="the default model is not here")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """onnxruntime for browsers."""
    folder = tmp_path_factory.mktemp("npm")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
    if (
        not shutil.which("npm")
        or subprocess.run(command, cwd=folder, capture_output=True).returncode
    ):
        pytest.skip(f"npm cannot install {PACKAGE}")
    return folder / "node_modules" / "onnxruntime-web" / "dist"


@pytest.fixture(scope="module")
def address(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where nano is a page, below a path, on a host that knows nothing but files."""
    root = tmp_path_factory.mktemp("www")
    export_web(find_model("nano"), root / "deep" / "page", runtime)
    handler = partial(SimpleHTTPRequestHandler, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{host.server_port}/deep/page/"
        host.shutdown()


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    with launched() as browser:
        opened = browser.new_page()
        opened.set_default_timeout(PATIENCE * 1000)
        asked: list[str] = []
        opened.on("request", lambda request: asked.append(request.url))
        opened.goto(address)
        yield opened
        assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []


@pytest.mark.slow
@needs_nano
@needs_browser
def test_the_browser_speaks_as_python_does(page: Any) -> None:
    ours = Llasa.load("nano")
    for voice in ("heart", "george"):
        passages = ours.request(TEXT).passages
        spoken = page.evaluate(SPEAK, [TEXT, {"voice": voice, "temperature": 0}])
        codes: list[int] = []
        for passage in passages:
            codes += ours(passage.given, voice=voice, temperature=0).codes.tolist()
        assert spoken["codes"] == codes
        assert spoken["rate"] == ours.rate
        embedding = ours.voice(voice).speaker_embedding
        first = ours(passages[0].given, voice=voice, temperature=0).codes
        (sound,) = ours.codec.decode([first], embedding)
        theirs = np.array(spoken["samples"][: len(sound)], np.float32)
        np.testing.assert_allclose(theirs, sound, atol=1e-3)


@pytest.mark.slow
@needs_nano
@needs_browser
def test_seeds_repeat(page: Any) -> None:
    first, again, other = (
        page.evaluate(SPEAK, ["Good morning.", {"seed": seed}])["codes"] for seed in (1, 1, 2)
    )
    assert first == again != other
    assert 0.4 < len(first) / 50 < 4


@pytest.mark.slow
@needs_nano
@needs_browser
def test_text_takes_the_form_of_the_model(page: Any) -> None:
    ours = Llasa.load("nano")
    texts = [TEXT, "hello world", "The café isn’t open...", "(He left) - she stayed", "😀 Hi!"]
    meant = [[passage.given for passage in ours.request(text).passages] for text in texts]
    assert page.evaluate(PARTS, texts) == meant
    long = "When the committee finally met again on the second Tuesday of the month " * 3
    (found,) = page.evaluate(PARTS, [long])
    assert all(0 < len(part) <= 110 for part in found)
    assert page.evaluate(PARTS, ["?!", ""]) == [[], []]
    assert page.evaluate(PARTS, ["Room 12"]) == [["Room one two."]]


@pytest.mark.slow
@needs_nano
@needs_browser
def test_a_person_presses_the_button(page: Any) -> None:
    page.wait_for_function("!document.getElementById('speak').disabled")
    page.fill("#text", "Good morning.")
    page.select_option("#voice", "emma")
    page.click("#speak")
    page.wait_for_function("document.getElementById('sound').duration > 0.4")
    assert " s of sound in " in page.inner_text("#status")
    page.fill("#text", "?!")
    page.click("#speak")
    page.wait_for_function("document.getElementById('status').textContent.includes('write a word')")


@needs_nano
def test_letters() -> None:
    vocabulary = Vocabulary.load(find_model("nano").lm)
    prefix, letters = letter_ids(vocabulary, "ab ,.")
    for text in ("Ab a.", "b", "a, B"):
        assert joined(prefix, letters, text) == vocabulary.encode_text(text)


def test_what_cannot_be_a_page(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match=r"has no ort\.wasm\.min\.mjs: run npm install"):
        export_web(find_model(tiny), tmp_path / "out", tmp_path)
    for name in RUNTIME:
        (tmp_path / name).touch()
    with pytest.raises(LlasaError, match="Model tiny cannot be a page"):
        export_web(find_model(tiny), tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()
